#!/usr/bin/env python3
"""Recomputes a checkpoint's log-probabilities outside the project, with NumPy alone.

Written from the numerical specification, not from the C++ sources: sums and products are float64, and a value is rounded to
fp32 only where the specification says so (statistics, steps, x * inv, epilogue, norms, RoPE, residual, logits). It reads a
checkpoint folder and what `a48 eval MODEL --mode M --logprobs FILE` wrote, and compares the mean negative log-likelihoods.

    recompute_logprobs.py CHECKPOINT LOGPROBS --mode a4.8 [--pieces N] [--tolerance T] [--json]

Exit status: 0 they agree, 2 usage, 3 an input is missing or bad, 4 they differ.
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy as np

F32 = np.float32
STATISTIC_FLOOR = F32(1e-5)
SQRT7 = F32(np.sqrt(7.0))

# mode: (ternary weights, quantizer of the input of q,k,v / o / gate,up / down, share of the o input that is kept)
MODES = {
    "none": (False, "fp", "fp", "fp", "fp", 1.0),
    "a16": (True, "fp", "fp", "fp", "fp", 1.0),
    "a8": (True, "int8", "int8", "int8", "int8", 1.0),
    "a4.8": (True, "int4", "int8", "int4", "int8", 0.5),
    "a4.8-fp4": (True, "fp4", "fp4", "fp4", "int8", 1.0),
}
SLOTS = ("ternary", "qkv", "o", "gate_up", "down", "topk_keep_o")


# ---------------------------------------------------------------------------------------------------- files
class BadInput(Exception):
    pass


def read_safetensors(path):
    """{name: float32 array}. Layout: u64 length of the header, JSON header, data."""
    blob = pathlib.Path(path).read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8:8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            raise BadInput(f"{path}: tensor {name} is {entry['dtype']}; a checkpoint's weights are F32")
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(blob[begin:end], "<f4").reshape(entry["shape"])
    return tensors


def checkpoint_folder(path):
    """The checkpoint itself, or the latest one of a run folder."""
    path = pathlib.Path(path)
    latest = path / "checkpoints" / "latest"
    return path / "checkpoints" / latest.read_text().strip() if latest.exists() else path


def read_pieces(path):
    with open(path, encoding="utf-8") as lines:
        pieces = [json.loads(line) for line in lines if line.strip()]
    for number, piece in enumerate(pieces, 1):
        if len(piece["logprobs"]) != len(piece["ids"]) - 1:
            raise BadInput(f"{path}: line {number} has {len(piece['ids'])} ids and {len(piece['logprobs'])} logprobs; "
                           "there must be one less")
    return pieces


# ---------------------------------------------------------------------------------------------- quantizers
# x: float32 [..., K]. Result: integer codes as float64 (so that BLAS sums them exactly) and the row step, float32 [..., 1].
def absmax(x):
    return np.maximum(np.abs(x).max(-1, keepdims=True), STATISTIC_FLOOR)


def absmean(x):
    return np.maximum(F32(np.abs(x).mean(-1, dtype=np.float64, keepdims=True)), STATISTIC_FLOOR)


def int8_codes(x):
    a = absmax(x)
    return np.clip(np.rint(x * (F32(127) / a)), -128, 127).astype(np.float64), a / F32(127)


def int4_codes(x):
    b = absmean(x)
    return np.clip(np.rint(x * (SQRT7 / b)), -8, 7).astype(np.float64), b / SQRT7


def fp4_codes(x):
    """E2M1: magnitudes 0 .5 1 1.5 2 3 4 6, doubled so that codes are integers; ties go to the even index."""
    a = absmax(x)
    y = np.abs(x * (F32(6) / a))
    index = ((y > 0.25).astype(int) + (y >= 0.75) + (y > 1.25) + (y >= 1.75) + (y > 2.5) + (y >= 3.5) + (y > 5))
    return np.copysign(np.array([0, 1, 2, 3, 4, 6, 8, 12], np.float64)[index], x), a / F32(12)


QUANTIZERS = {"int8": int8_codes, "int4": int4_codes, "fp4": fp4_codes}


def ternary(weight):
    """Codes in {-1, 0, 1} as float64 and the matrix scale alpha."""
    alpha = np.maximum(F32(np.abs(weight).mean(dtype=np.float64)), STATISTIC_FLOOR)
    return np.clip(np.rint(weight * (F32(1) / alpha)), -1, 1).astype(np.float64), alpha


def keep_largest(x, share):
    """Zeroes all but the k largest magnitudes of each row; the lowest index wins a tie."""
    width = x.shape[-1]
    k = min(max(int(np.floor(share * width + 0.5)), 1), width)
    order = np.argsort(-np.abs(x), axis=-1, kind="stable")
    kept = np.zeros(x.shape, bool)
    np.put_along_axis(kept, order[..., :k], True, axis=-1)
    return np.where(kept, x, F32(0))


# --------------------------------------------------------------------------------------------------- model
class Model:
    def __init__(self, config, tensors, mode, slots=None):
        self.config, self.tensors = config, tensors
        self.slots = dict(zip(SLOTS, MODES[mode])) | (slots or {})
        heads = config["num_attention_heads"]
        self.heads, self.kv_heads = heads, config.get("num_key_value_heads") or heads
        self.head_dim = config["hidden_size"] // heads
        self.codes = {name: ternary(w) for name, w in tensors.items() if name.endswith("_proj.weight")}

    def linear(self, x, quantizer, *names):
        """One quantized input, one output per named matrix. x: float32 [S, K]."""
        if quantizer != "fp":
            q, step = QUANTIZERS[quantizer](x)
        outputs = []
        for name in names:
            if not self.slots["ternary"]:
                outputs.append(F32(x.astype(np.float64) @ self.tensors[name].astype(np.float64).T))
                continue
            t, alpha = self.codes[name]
            if quantizer == "fp":
                outputs.append(F32(x.astype(np.float64) @ t.T * np.float64(alpha)))
            else:
                outputs.append(F32(q @ t.T) * (step * alpha))
        return outputs

    def norm(self, x, name):
        mean_square = np.square(x, dtype=np.float64).mean(-1, keepdims=True)
        r = F32(1 / np.sqrt(mean_square + self.config.get("rms_norm_eps", 1e-5)))
        return x * r * self.tensors[name]

    def rope(self, x):
        """x: float32 [S, H, hd]; element i turns with element i + hd/2."""
        half = self.head_dim // 2
        position = np.arange(x.shape[0], dtype=np.float64)[:, None]
        angle = position * self.config.get("rope_theta", 10000.0) ** (-2.0 * np.arange(half) / self.head_dim)
        cos, sin = F32(np.cos(angle))[:, None, :], F32(np.sin(angle))[:, None, :]
        first, second = x[..., :half], x[..., half:]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

    def attention(self, x, p):
        slots, length = self.slots, x.shape[0]
        q, k, v = self.linear(self.norm(x, p + "input_layernorm.weight"), slots["qkv"],
                              *(p + f"self_attn.{n}_proj.weight" for n in "qkv"))
        q = self.rope(q.reshape(length, self.heads, -1)).astype(np.float64)
        k = self.rope(k.reshape(length, self.kv_heads, -1)).astype(np.float64)
        v = v.reshape(length, self.kv_heads, -1).astype(np.float64)
        k, v = (np.repeat(t, self.heads // self.kv_heads, axis=1) for t in (k, v))
        scores = np.einsum("shd,thd->hst", q, k) * np.float64(F32(1 / np.sqrt(self.head_dim)))
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        o = F32(np.einsum("hst,thd->shd", weights, v).reshape(length, -1))
        if self.config.get("sub_norm", True):
            o = self.norm(o, p + "self_attn.attn_sub_norm.weight")
        if slots["topk_keep_o"] < 1:
            o = keep_largest(o, slots["topk_keep_o"])
        return self.linear(o, slots["o"], p + "self_attn.o_proj.weight")[0]

    def feed_forward(self, x, p):
        slots = self.slots
        gate, up = self.linear(self.norm(x, p + "post_attention_layernorm.weight"), slots["gate_up"],
                               p + "mlp.gate_proj.weight", p + "mlp.up_proj.weight")
        if self.config.get("hidden_act", "relu2") == "relu2":
            r = np.maximum(gate, F32(0))
            f = (r * r) * up
        else:
            f = gate / (F32(1) + F32(np.exp(-gate.astype(np.float64)))) * up
        if self.config.get("sub_norm", True):
            f = self.norm(f, p + "mlp.ffn_sub_norm.weight")
        return self.linear(f, slots["down"], p + "mlp.down_proj.weight")[0]

    def logits(self, ids):
        """ids: [S]; float32 [S, V]."""
        embedding = self.tensors["model.embed_tokens.weight"]
        head = embedding if self.config.get("tie_word_embeddings") else self.tensors["lm_head.weight"]
        x = embedding[np.asarray(ids)]
        for layer in range(self.config["num_hidden_layers"]):
            x = x + self.attention(x, f"model.layers.{layer}.")
            x = x + self.feed_forward(x, f"model.layers.{layer}.")
        x = self.norm(x, "model.norm.weight")
        return F32(x.astype(np.float64) @ head.astype(np.float64).T)

    def logprobs(self, ids):
        """Natural log-probability of each of ids[1:] given what stands before it."""
        z = self.logits(ids[:-1]).astype(np.float64)
        top = z.max(-1)
        log_sum = top + np.log(np.exp(z - top[:, None]).sum(-1))
        return z[np.arange(len(ids) - 1), ids[1:]] - log_sum


def slots_of(quant, where):
    """The slots that the `quant` block of a run sets apart from the mode's."""
    slots = {name: value for name, value in quant.items() if value is not None}
    if "weights" in slots:
        slots["ternary"] = choice(slots.pop("weights"), {"ternary": True, "fp": False}, f"{where}: quant.weights")
    for name, value in slots.items():
        if name in ("qkv", "o", "gate_up", "down"):
            choice(value, {"fp": None} | QUANTIZERS, f"{where}: quant.{name}")
        elif name not in SLOTS:
            raise BadInput(f"{where}: quant.{name} is not known here")
    return slots


def choice(value, known, where):
    if value not in known:
        raise BadInput(f"{where} is {value!r}; recomputed are {', '.join(known)}")
    return known[value]


def load(folder, mode):
    folder = checkpoint_folder(folder)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    slots = slots_of(run.get("quant") or {}, folder / "run.json")
    return Model(run["model"], read_safetensors(folder / "model.safetensors"), mode, slots)


# ------------------------------------------------------------------------------------------------- compare
def compare(model, pieces):
    theirs, ours = [], []
    for piece in pieces:
        theirs.append(np.asarray(piece["logprobs"], np.float64))
        ours.append(model.logprobs(piece["ids"]))
    theirs, ours = np.concatenate(theirs), np.concatenate(ours)
    return {"tokens": int(theirs.size), "nll_program": float(-theirs.mean()), "nll_recomputed": float(-ours.mean()),
            "difference": float(abs(theirs.mean() - ours.mean())), "largest": float(np.abs(theirs - ours).max()),
            "rms": float(np.sqrt(np.square(theirs - ours).mean()))}


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Recompute `a48 eval --logprobs` from a checkpoint with NumPy.")
    parser.add_argument("checkpoint", help="checkpoint or run folder")
    parser.add_argument("logprobs", help="JSON lines written by `a48 eval --logprobs`")
    parser.add_argument("--mode", required=True, choices=MODES, help="the --mode that `a48 eval` ran with")
    parser.add_argument("--pieces", type=int, default=0, help="recompute that many pieces, evenly spaced (0: all)")
    parser.add_argument("--tolerance", type=float, help="largest difference of the mean NLLs (1e-4 without quantized inputs, else 2e-3)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(arguments)
    try:
        model, pieces = load(options.checkpoint, options.mode), read_pieces(options.logprobs)
        if not pieces:
            raise BadInput(f"{options.logprobs}: no pieces")
    except (OSError, KeyError, ValueError, struct.error, BadInput) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if 0 < options.pieces < len(pieces):
        pieces = [pieces[i * len(pieces) // options.pieces] for i in range(options.pieces)]
    tolerance = options.tolerance
    if tolerance is None:
        tolerance = 1e-4 if options.mode in ("none", "a16") else 2e-3
    result = compare(model, pieces) | {"mode": options.mode, "tolerance": tolerance}
    agree = result["difference"] <= tolerance
    if options.json:
        print(json.dumps(result | {"agree": agree}))
    else:
        print(f"{options.mode}: {result['tokens']} tokens, mean NLL {result['nll_program']:.7f} by a48, "
              f"{result['nll_recomputed']:.7f} recomputed; difference {result['difference']:.1e} (allowed {tolerance:g}), "
              f"largest of one token {result['largest']:.1e}: {'agree' if agree else 'DIFFER'}")
    return 0 if agree else 4


if __name__ == "__main__":
    sys.exit(main())
