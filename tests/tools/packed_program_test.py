#!/usr/bin/env python3
"""A tiny model through the programs: trained and exported by `a48`, then run by `a48-run`, which has no LibTorch.

    packed_program_test.py PATH_TO_a48 PATH_TO_a48-run

The log-probabilities and texts of the packed file equal those of the checkpoint bit for bit; damaged files and wrong
options give the documented exit codes; the torch-free program starts at once and needs little memory.
"""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

A48, A48_RUN = sys.argv[1:3]

CONFIG = {
    "model": {"vocab_size": 259, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128},
    "stages": [{"mode": "a8", "until": 0.7}, {"mode": "a4.8", "until": 1.0}],
    "optim": {"learning_rate": 4e-3, "second_learning_rate": 3e-3, "min_lr": 1e-4, "warmup_steps": 5},
    "eval": {"interval": 0, "windows": 4},
}


def call(program, *arguments, status=0):
    done = subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode != status:
        raise AssertionError(f"{program} {' '.join(map(str, arguments))}: exit status {done.returncode}, not {status}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class PackedProgram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="a48-packed-")
        root = cls.root = pathlib.Path(cls.folder.name)
        choose = random.Random(1).choice
        words = "the miller follows a fox by the river and forgets my sister under the bridge".split()
        text = "\n".join(" ".join(choose(words) for _ in range(9)).capitalize() + "." for _ in range(1500))
        (root / "text.txt").write_text(text + "\n")
        (root / "held.txt").write_text(text[:3000])
        call(A48, "prepare", "--out", root / "data", "--tokenizer", "bytes", root / "text.txt")
        config = CONFIG | {
            "data": {"path": str(root / "data"), "sequence_length": 64},
            "run": {"dir": str(root / "run"), "max_steps": 40, "micro_batch_size": 8, "global_batch_size": 8,
                    "save_interval": 0, "threads": 2},
        }
        (root / "config.json").write_text(json.dumps(config))
        call(A48, "train", root / "config.json")
        cls.packed = root / "exact.a48"
        call(A48, "export", root / "run", "--out", cls.packed, "--head", "f32")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def logprobs(self, program, model, *options):
        lines = self.root / "lines.jsonl"
        call(program, "eval", model, "--text", self.root / "held.txt", "--logprobs", lines, *options)
        return lines.read_text()

    def test_train_equals_serve(self):
        for mode in ("a8", "a4.8", "a4.8-fp4"):
            trained = self.logprobs(A48, self.root / "run", "--mode", mode)
            self.assertEqual(self.logprobs(A48_RUN, self.packed, "--mode", mode), trained, mode)
        self.assertEqual(self.logprobs(A48, self.packed), self.logprobs(A48, self.root / "run"))

    def test_devices(self):
        text = ["--text", self.root / "held.txt", "--device"]
        prompt = ["--prompt", "The", "--max-tokens", 1, "--device", "cuda"]
        for command in ([A48, "eval", self.root / "run", *text, "cuda"],
                        [A48, "eval", self.root / "run", *text, "cuda", "--kv-bits", 4], [A48, "generate", self.root / "run", *prompt],
                        [A48, "eval", self.packed, *text, "cuda"], [A48_RUN, "eval", self.packed, *text, "cuda"],
                        [A48_RUN, "generate", self.packed, *prompt],
                        [A48_RUN, "bench", "decode", self.packed, "--device", "cuda", "--tokens", 2, "--reps", 1]):
            with self.subTest(command=command[:2]):
                done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
                self.assertIn(done.returncode, (0, 7))  # with a GPU, or without
                if done.returncode == 7:
                    self.assertIn("--device cuda: this", done.stderr)

    def test_the_same_text(self):
        options = ["--prompt", "The miller", "--max-tokens", "40", "--seed", "3", "--json"]
        texts = [json.loads(call(*command, *options).stdout)["results"][0]["text"]
                 for command in ((A48, "generate", self.root / "run"), (A48, "generate", self.packed),
                                 (A48_RUN, "generate", self.packed))]
        self.assertEqual(texts[0], texts[1])
        self.assertEqual(texts[0], texts[2])

    def test_every_head_exports(self):
        sizes = {}
        for head in ("bf16", "i8", "i6", "i4"):
            file = self.root / f"{head}.a48"
            report = json.loads(call(A48, "export", self.root / "run", "--out", file, "--head", head, "--json").stdout)
            self.assertTrue(report["logits_equal"])
            self.assertLess(report["logits_relative"], 0.2)
            sizes[head] = file.stat().st_size
            result = json.loads(call(A48_RUN, "eval", file, "--text", self.root / "held.txt", "--json").stdout)
            self.assertGreater(result["perplexity"], 1)
            self.assertEqual(list(file.parent.glob("*.draft*")), [])
        self.assertGreater(self.packed.stat().st_size, sizes["i4"])

    def test_two_exports_are_one_file(self):
        again = self.root / "again.a48"
        call(A48, "export", self.root / "run", "--out", again, "--head", "f32")
        self.assertEqual(again.read_bytes(), self.packed.read_bytes())

    def test_inspect(self):
        held = json.loads(call(A48_RUN, "inspect", self.packed, "--json", "--verify").stdout)
        self.assertEqual(held["kind"], "packed model")
        self.assertTrue(held["verified"])
        self.assertIn("T2_ROW4", call(A48_RUN, "inspect", self.packed).stdout)

    def test_damaged_files(self):
        good = self.packed.read_bytes()
        bad = self.root / "bad.a48"
        for name, content in {"header": good[:20] + b"\xff" + good[21:], "short": good[:-64], "empty": b"",
                              "text": b"this is no model\n" * 20}.items():
            bad.write_bytes(content)
            for command in ("inspect", "eval", "generate"):
                options = {"eval": ["--text", self.root / "held.txt"], "generate": ["--prompt", "a"]}.get(command, [])
                done = call(A48_RUN, command, bad, *options, status=3)
                self.assertIn("bad.a48", done.stderr, name)
        middle = len(good) // 2
        bad.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:])
        done = call(A48_RUN, "inspect", bad, "--verify", status=4)
        self.assertIn("bad.a48", done.stdout + done.stderr)

    def test_refusals(self):
        call(A48_RUN, "eval", self.root / "run", "--text", self.root / "held.txt", status=3)
        call(A48_RUN, "generate", self.packed, "--prompt", "a", "--mode", "none", status=2)
        call(A48_RUN, "train", status=2)
        call(A48, "export", self.root / "run", "--out", self.root / "model.bin", status=2)
        call(A48, "export", self.root / "run", "--out", self.root / "x.a48", "--mode", "none", status=2)
        self.assertFalse((self.root / "x.a48").exists())

    def test_no_libtorch(self):
        libraries = subprocess.run(["ldd", A48_RUN], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIsNone(re.search("libtorch|libc10|libgomp", libraries), libraries)

    def test_starts_at_once(self):
        """Version, and one token of a small model: the best of several runs, since the machine is shared."""
        for arguments in (["--version"], ["generate", self.packed, "--prompt", "a", "--max-tokens", "1"]):
            seconds = []
            for _ in range(9):
                begin = time.monotonic()
                call(A48_RUN, *arguments)
                seconds.append(time.monotonic() - begin)
            self.assertLess(min(seconds), 0.05, arguments)


if __name__ == "__main__":
    sys.argv[1:3] = []
    unittest.main()
