#!/usr/bin/env python3
"""quickstart.sh around a program that only pretends to train: what it skips, what it refuses, what it says when a phase fails.

The scripts are copied beside stand-ins for setup.sh, build.sh and a48; the real program is run by the quickstart itself.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

PRETENDED_A48 = """#!/usr/bin/env python3
import json, os, pathlib, sys
arguments, command = sys.argv[2:], sys.argv[1]
with open("calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if os.environ.get("FAIL") == command:
    print(f"error: {command} cannot go on")
    sys.exit(int(os.environ["STATUS"]))
if command == "prepare":
    out = pathlib.Path(arguments[arguments.index("--out") + 1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "data.json").write_text("{}")
elif command == "train":
    config = json.load(open(arguments[0]))
    run, steps = pathlib.Path(config["run"]["dir"]), config["run"]["max_steps"]
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    if not (run / "checkpoints" / "latest").exists():
        with open(run / "metrics.jsonl", "w") as log:
            for s in range(0, steps, config["run"]["log_interval"]):
                stage, mode = (0, "a8") if s < 0.9 * steps else (1, "a4.8")
                log.write(json.dumps({"event": "step", "step": s, "stage": stage, "mode": mode, "loss": 3 - s / steps,
                                      "step_ms": 100.0}) + "\\n")
            log.write(json.dumps({"event": "eval", "step": steps, "as_staged": True, "loss": 2.1, "seconds": 0.5}) + "\\n")
        (run / "checkpoints" / f"step-{steps:08}").mkdir()
        (run / "checkpoints" / f"step-{steps:08}" / "model.safetensors").write_text("x" * 4000000)
        (run / "checkpoints" / "latest").write_text(f"step-{steps:08}\\n")
elif command == "eval":
    mode = arguments[arguments.index("--mode") + 1] if "--mode" in arguments else "a4.8"
    zeros = {"qkv": 0.12, "out": 0.5, "up": 0.66, "gate": 0.12, "down": 0.8, "overall": 0.42}
    print(json.dumps({"mode": mode, "tokens": 1000, "nll_per_token": 2.0, "perplexity": 7.39, "bits_per_byte": 1.5,
                      "sparsity": None if mode == "a16" else zeros, "active_parameters": 1e6}))
elif command == "export":
    pathlib.Path(arguments[arguments.index("--out") + 1]).write_text("x" * 250000)
elif command == "generate" and "--json" in arguments:
    prompt = next(a for a in arguments if a.startswith("--prompt="))[9:]
    print(json.dumps({"tokens": 128, "seconds": 0.5, "results": [{"prompt": prompt, "text": " and so on"}]}))
elif command == "generate":
    print(next(a for a in arguments if a.startswith("--prompt="))[9:] + " and so on")
"""


class Quickstart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="a48-quickstart-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("quickstart.sh", "quickstart_report.py", "plot_run.py", "phases.sh"):
            (self.root / "scripts").mkdir(exist_ok=True)
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts" / name)
        shutil.copytree(ROOT / "configs", self.root / "configs")
        self.program("scripts/setup.sh", "#!/bin/sh\necho set up\n")
        self.program("scripts/build.sh", "#!/bin/sh\necho built\n")
        self.program("build/a48", PRETENDED_A48)
        self.program("build/a48-run", PRETENDED_A48)
        self.text = self.root / "a text.txt"
        self.text.write_text("The first line of it is here.\n" * 50)

    def program(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def quickstart(self, *arguments, **environment):
        return subprocess.run([self.root / "scripts/quickstart.sh", *arguments], cwd=self.root, env=os.environ | environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def calls(self):
        calls = self.root / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.write_text("")
        return [line.split()[0] for line in lines]

    def test_whole_run_then_a_second_one(self):
        first = self.quickstart("--text", "a text.txt", "--minutes", "2")
        self.assertEqual(first.returncode, 0, first.stdout)
        self.assertEqual(self.calls(), ["prepare", "train", "train", "eval", "eval", "eval"] + ["generate"] * 4 + ["export"] + ["generate"] * 2)
        config = json.loads((self.root / "runs/quickstart/config.json").read_text())
        # 100 ms a step, 12 evaluations of 0.5 s
        self.assertEqual(config["run"]["max_steps"], 1140)
        self.assertEqual(config["eval"]["prompts"], ["The first line of"] * 4)
        picture = (self.root / "runs/quickstart/loss.svg").read_text()
        self.assertTrue(picture.startswith("<svg") and "stage switch" in picture)
        self.assertIn("paper, 700M", first.stdout)
        self.assertIn("4.00 MB", first.stdout)
        self.assertIn("0.25 MB", first.stdout)
        self.assertIn("and so on", (self.root / "runs/quickstart/samples.txt").read_text())

        second = self.quickstart("--text", "a text.txt", "--minutes", "2")
        self.assertEqual(second.returncode, 0, second.stdout)
        self.assertEqual(self.calls(), ["train"] + ["generate"] * 6)

        other = self.quickstart("--text", "a text.txt", "--minutes", "3")
        self.assertEqual(other.returncode, 2)
        self.assertIn("--fresh", other.stdout)
        self.assertEqual(self.calls(), [])

        fresh = self.quickstart("--text", "a text.txt", "--minutes", "3", "--fresh")
        self.assertEqual(fresh.returncode, 0, fresh.stdout)
        self.assertTrue((self.root / "runs/quickstart.1/config.json").exists())
        self.assertIn("prepare", self.calls())

    def test_a_failure_names_phase_and_log(self):
        for command, phase in (("prepare", "Text"), ("train", "Steps that fit"), ("eval", "Evaluation"), ("generate", "Samples")):
            failed = self.quickstart("--text", "a text.txt", FAIL=command, STATUS="3")
            self.assertEqual(failed.returncode, 3, failed.stdout)
            self.assertIn(f'the phase "{phase}', failed.stdout)
            log = failed.stdout.rsplit("what it said is in ", 1)[1].split()[0]
            if command not in ("generate", "eval"):      # these two print their results on stdout
                self.assertIn(f"error: {command} cannot go on", (self.root / log).read_text())
        self.assertEqual(self.quickstart("--text", "a text.txt").returncode, 0)

    def test_a_stop_is_no_failure(self):
        self.assertEqual(self.quickstart("--text", "a text.txt").returncode, 0)
        stopped = self.quickstart("--text", "a text.txt", FAIL="train", STATUS="6")
        self.assertEqual(stopped.returncode, 6)
        self.assertIn("the same command goes on", stopped.stdout)
        self.assertNotIn("failed", stopped.stdout)

    def test_refusals(self):
        (self.root / "full").mkdir()
        (self.root / "full" / "letter").write_text("mine")
        for arguments, status, message in ((["--minutes", "0"], 2, "--minutes 0"), (["--minutes", "x"], 2, "--minutes x"),
                                           (["--text", "absent.txt"], 3, "absent.txt"), (["--text"], 2, "--text"),
                                           (["--frsh"], 2, "--frsh"), (["--dir", "full", "--fresh"], 2, "holds no quickstart")):
            refused = self.quickstart(*arguments)
            self.assertEqual(refused.returncode, status, refused.stdout)
            self.assertIn(message, refused.stdout)
        self.assertEqual((self.root / "full" / "letter").read_text(), "mine")
        self.assertEqual(self.calls(), [])

    def test_without_bible(self):
        """No bible, no apt-get: says how to get either text, before anything is built."""
        tools = self.root / "tools"
        tools.mkdir()
        for name in ("bash", "dirname", "env", "realpath", "sed", "ls"):
            (tools / name).symlink_to(shutil.which(name))
        refused = self.quickstart(PATH=str(tools))
        self.assertEqual(refused.returncode, 3, refused.stdout)
        self.assertIn("apt-get install bible-kjv", refused.stdout)
        self.assertIn("--text", refused.stdout)

    @unittest.skipUnless(shutil.which("bible"), "no program 'bible'")
    def test_bible_becomes_chapters(self):
        self.assertEqual(self.quickstart().returncode, 0)
        text = (self.root / "runs/quickstart/kjv.txt").read_text()
        self.assertTrue(text.startswith("In the beginning God created the heaven and the earth.\n"))
        chapters = text.split("%%\n")
        self.assertEqual(len(chapters), 1189)
        self.assertEqual(sum(len(chapter.splitlines()) for chapter in chapters), 31102)
        self.assertTrue(chapters[-1].endswith("The grace of our Lord Jesus Christ be with you all. Amen.\n"))


if __name__ == "__main__":
    unittest.main()
