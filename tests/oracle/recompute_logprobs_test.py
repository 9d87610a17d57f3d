#!/usr/bin/env python3
"""Tests of recompute_logprobs.py itself, on a synthetic checkpoint: its quantizers, and what any correct model obeys."""
import contextlib
import io
import json
import pathlib
import struct
import sys
import tempfile
import unittest

try:
    import numpy as np
except ModuleNotFoundError:
    print("skipped: this Python has no numpy; scripts/setup.sh installs it")
    sys.exit(77)

import recompute_logprobs as oracle
from recompute_logprobs import F32, MODES


def synthetic(seed=1, **changes):
    config = {"vocab_size": 40, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "hidden_act": "relu2", "sub_norm": True, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
              "tie_word_embeddings": False} | changes
    rng = np.random.default_rng(seed)
    d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv = config["num_key_value_heads"] * d // config["num_attention_heads"]
    matrix = lambda *shape: F32(rng.normal(0, 0.2, shape))
    gain = lambda n: F32(rng.uniform(0.5, 1.5, n))
    tensors = {"model.embed_tokens.weight": matrix(v, d), "model.norm.weight": gain(d)}
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = matrix(v, d)
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        tensors |= {p + "input_layernorm.weight": gain(d), p + "post_attention_layernorm.weight": gain(d),
                    p + "self_attn.q_proj.weight": matrix(d, d), p + "self_attn.k_proj.weight": matrix(kv, d),
                    p + "self_attn.v_proj.weight": matrix(kv, d), p + "self_attn.o_proj.weight": matrix(d, d),
                    p + "mlp.gate_proj.weight": matrix(f, d), p + "mlp.up_proj.weight": matrix(f, d),
                    p + "mlp.down_proj.weight": matrix(d, f)}
        if config["sub_norm"]:
            tensors |= {p + "self_attn.attn_sub_norm.weight": gain(d), p + "mlp.ffn_sub_norm.weight": gain(f)}
    return config, tensors


def write_checkpoint(folder, config, tensors, **blocks):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "run.json").write_text(json.dumps({"model": config} | blocks))


class Quantizers(unittest.TestCase):
    def test_int4_of_ones(self):
        codes, step = oracle.int4_codes(np.ones((1, 64), F32))
        self.assertTrue((codes == 3).all())
        self.assertAlmostEqual(float((codes * step)[0, 0]), 3 / 7 ** 0.5, places=6)

    def test_gaussian_statistics(self):
        x = F32(np.random.default_rng(2).standard_normal((1024, 1024)))
        codes, step = oracle.int4_codes(x)
        y = codes * step
        self.assertAlmostEqual(float((codes == 0).mean()), 0.1198, delta=0.001)
        self.assertAlmostEqual(float((x * y).sum() / np.square(x, dtype=np.float64).sum()), 0.975, delta=0.005)
        self.assertAlmostEqual(float(np.linalg.norm(x - y) / np.linalg.norm(x)), 0.1145, delta=0.002)
        self.assertAlmostEqual(float((oracle.ternary(x)[0] == 0).mean()), 0.310, delta=0.002)
        codes, step = oracle.int8_codes(x)
        self.assertEqual(float(np.abs(codes).max()), 127)
        self.assertLess(float(np.linalg.norm(x - codes * step) / np.linalg.norm(x)), 0.01)

    def test_ties_round_to_even(self):
        row = F32([[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5]])
        self.assertEqual(oracle.int8_codes(row)[0].tolist(), [[127, 0, 2, 2, 0, -2, -2]])

    def test_fp4_bounds(self):
        row = F32([[6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -0.26, -5.1]])
        self.assertEqual(oracle.fp4_codes(row)[0].tolist(), [[12, 0, 2, 2, 4, 4, 8, 8, -1, -12]])

    def test_zero_row(self):
        for quantizer in oracle.QUANTIZERS.values():
            codes, step = quantizer(np.zeros((2, 8), F32))
            self.assertTrue((codes == 0).all() and (step > 0).all())

    def test_keep_largest(self):
        self.assertEqual(oracle.keep_largest(F32([[1, -2, 2, 2]]), 0.5).tolist(), [[0, -2, 2, 0]])
        self.assertEqual(int((oracle.keep_largest(np.ones((1, 5), F32), 0.5) != 0).sum()), 3)
        self.assertEqual(int((oracle.keep_largest(np.ones((1, 5), F32), 0.01) != 0).sum()), 1)


class ModelProperties(unittest.TestCase):
    shapes = [{}, {"num_key_value_heads": 4, "tie_word_embeddings": True}, {"hidden_act": "silu", "sub_norm": False}]

    def test_causal_and_ordered(self):
        ids = list(np.random.default_rng(3).integers(0, 40, 12))
        for changes in self.shapes:
            for mode in MODES:
                model = oracle.Model(*synthetic(**changes), mode)
                logits = model.logits(ids)
                other = model.logits(ids[:8] + [(t + 1) % 40 for t in ids[8:]])
                np.testing.assert_allclose(logits[:8], other[:8], atol=1e-6, err_msg=mode)
                self.assertGreater(float(np.abs(logits[8:] - other[8:]).max()), 1e-3)
                swapped = model.logits([ids[1], ids[0]] + ids[2:])
                self.assertGreater(float(np.abs(logits[-1] - swapped[-1]).max()), 1e-6)

    def test_logprobs_are_probabilities(self):
        model = oracle.Model(*synthetic(), "a4.8")
        total = sum(np.exp(model.logprobs([1, 5, t])[-1]) for t in range(40))
        self.assertAlmostEqual(total, 1.0, places=9)

    def test_grouped_heads_equal_repeated_weights(self):
        config, tensors = synthetic()
        wide = dict(tensors)
        for name in tensors:
            if "k_proj" in name or "v_proj" in name:
                wide[name] = np.repeat(tensors[name].reshape(2, 6, -1), 2, axis=0).reshape(24, -1)
        for mode in MODES:
            a = oracle.Model(config, tensors, mode).logits([3, 1, 4, 1, 5])
            b = oracle.Model(config | {"num_key_value_heads": 4}, wide, mode).logits([3, 1, 4, 1, 5])
            np.testing.assert_allclose(a, b, atol=1e-5, err_msg=mode)

    def test_modes_differ(self):
        config, tensors = synthetic()
        results = [oracle.Model(config, tensors, mode).logits([1, 2, 3, 4]) for mode in MODES]
        for i, a in enumerate(results):
            for b in results[:i]:
                self.assertGreater(float(np.abs(a - b).max()), 1e-3)


class Program(unittest.TestCase):
    def run_main(self, *arguments):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return oracle.main([str(a) for a in arguments])

    def test_exit_status(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            config, tensors = synthetic()
            write_checkpoint(folder, config, tensors)
            ids = [1, 7, 8, 9, 10, 11]
            truth = oracle.Model(config, tensors, "a4.8").logprobs(ids)
            lines = folder / "pieces.jsonl"
            for shift, status in ((0.0, 0), (0.0019, 0), (0.0021, 4)):
                lines.write_text(json.dumps({"ids": ids, "logprobs": list(truth + shift)}) + "\n")
                self.assertEqual(self.run_main(folder, lines, "--mode", "a4.8"), status)
            lines.write_text(json.dumps({"ids": ids, "logprobs": list(truth[1:])}) + "\n")
            self.assertEqual(self.run_main(folder, lines, "--mode", "a4.8"), 3)
            self.assertEqual(self.run_main(folder / "absent", lines, "--mode", "a4.8"), 3)

    def test_quantizers_of_the_run(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            config, tensors = synthetic()
            write_checkpoint(folder, config, tensors, quant={"weights": "fp", "qkv": "fp", "o": None, "topk_keep_o": 1.0})
            expected = dict(zip(oracle.SLOTS, MODES["a4.8"])) | {"ternary": False, "qkv": "fp", "topk_keep_o": 1.0}
            self.assertEqual(oracle.load(folder, "a4.8").slots, expected)
            lines = folder / "pieces.jsonl"
            lines.write_text(json.dumps({"ids": [1, 2], "logprobs": [-1.0]}) + "\n")
            for quant, part in (({"weights": "int3"}, "int3"), ({"down": "int4_absmax"}, "int4_absmax"), ({"kv": "int8"}, "kv")):
                write_checkpoint(folder, config, tensors, quant=quant)
                with contextlib.redirect_stderr(io.StringIO()) as errors:
                    self.assertEqual(oracle.main([str(folder), str(lines), "--mode", "a4.8"]), 3)
                self.assertIn(part, errors.getvalue())


if __name__ == "__main__":
    unittest.main()
