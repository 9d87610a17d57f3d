#!/usr/bin/env python3
"""Trains two tiny models with `a48` through both stages and recomputes their log-probabilities in every mode.

    train_and_recompute_test.py PATH_TO_a48

What one model lacks the other has: grouped heads, ReLU^2 and sub-norms; a tied head, SiLU and no sub-norms.
Exit status: 0 all agree, 1 they do not, 77 skipped (no NumPy).
"""
import contextlib
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import recompute_logprobs
except ModuleNotFoundError as error:
    print(f"skipped: this Python has no {error.name}; scripts/setup.sh installs it")
    sys.exit(77)

VOCABULARY = 320

SHAPES = {
    "grouped": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "tied": {"num_attention_heads": 2, "hidden_act": "silu", "sub_norm": False, "tie_word_embeddings": True},
}


def sentences(count, seed=1):
    """Text with enough pattern to be learnt in 60 steps."""
    choose = random.Random(seed).choice
    who, what = ["the miller", "a fox", "my sister", "the old king", "one sparrow"], ["sees", "follows", "forgets", "paints"]
    where = ["by the river", "in the snow", "under the bridge", "before noon", "without a word"]
    lines = (f"{choose(who)} {choose(what)} {choose(who)} {choose(where)}." for _ in range(count))
    return "\n".join(line[0].upper() + line[1:] for line in lines) + "\n"


def configuration(folder, shape):
    return {
        "model": {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
                  "max_position_embeddings": 64} | shape,
        "stages": [{"mode": "a8", "until": 0.7}, {"mode": "a4.8", "until": 1.0}],
        "optim": {"learning_rate": 4e-3, "second_learning_rate": 3e-3, "min_lr": 1e-4, "warmup_steps": 5},
        "data": {"path": str(folder / "data"), "sequence_length": 64},
        "eval": {"interval": 0, "windows": 4},
        "run": {"max_steps": 60, "micro_batch_size": 8, "global_batch_size": 8, "save_interval": 0, "threads": 2},
    }


def main():
    a48 = sys.argv[1]

    def run(*arguments):
        done = subprocess.run([a48, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout)
            sys.exit(f"a48 {' '.join(map(str, arguments))}: exit status {done.returncode}")

    failures = []

    def expect(condition, message):
        if not condition:
            failures.append(message)
            print(f"FAILED: {message}")

    with tempfile.TemporaryDirectory(prefix="a48-oracle-") as name:
        folder = pathlib.Path(name)
        (folder / "text.txt").write_text(sentences(1500))
        run("prepare", "--out", folder / "data", "--vocab-size", VOCABULARY, "--val-fraction", 0.1, folder / "text.txt")
        for shape_name, shape in SHAPES.items():
            config, model = folder / f"{shape_name}.json", folder / shape_name
            config.write_text(json.dumps(configuration(folder, shape)))
            run("train", config, f"run.dir={model}")
            for mode in recompute_logprobs.MODES:
                lines = folder / f"{shape_name}-{mode}.jsonl"
                run("eval", model, "--data", folder / "data", "--mode", mode, "--logprobs", lines)
                print(f"{shape_name:8}", end="", flush=True)
                status = recompute_logprobs.main([str(model), str(lines), "--mode", mode])
                expect(status == 0, f"{shape_name}, mode {mode}: exit status {status}")
            # The comparison can fail: another mode's log-probabilities are noticed.
            with contextlib.redirect_stdout(io.StringIO()):
                status = recompute_logprobs.main([str(model), str(folder / f"{shape_name}-a4.8.jsonl"), "--mode", "none"])
            expect(status == 4, f"{shape_name}: a4.8 passed for none, exit status {status}")
            pieces = recompute_logprobs.read_pieces(folder / f"{shape_name}-none.jsonl")
            expect(sum(len(piece["logprobs"]) for piece in pieces) >= 1000, "fewer than 1000 tokens were compared")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
