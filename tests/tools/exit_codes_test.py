#!/usr/bin/env python3
"""The exit codes of the program for command lines that need no training: 0, 2, 3, 7. Messages go to stderr
and name what is wrong; results go to stdout.

usage: exit_codes_test.py A48
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

a48 = sys.argv[1]
failures = []


def check(code, message, *arguments, stdout=None):
    """Runs a48 and compares exit code and stderr; returns stdout."""
    with tempfile.TemporaryFile() as own:
        done = subprocess.run([a48, *arguments], stdout=stdout or own, stderr=subprocess.PIPE, check=False)
        own.seek(0)
        output = own.read().decode()
    error = done.stderr.decode()
    if done.returncode != code or message not in error:
        failures.append(f"a48 {' '.join(arguments)}: exit code {done.returncode} instead of {code}, or stderr "
                        f"does not hold {message!r}:\n{error}")
    if code != 0 and output:
        failures.append(f"a48 {' '.join(arguments)}: failed, but wrote to stdout: {output!r}")
    return output


def check_stopped(folder):
    """A prepare that a signal ends leaves no unfinished file."""
    text = folder / "long.txt"
    text.write_text("a line of the long text\n" * 2_000_000)
    out = folder / "stopped"
    running = subprocess.Popen([a48, "prepare", "--out", str(out), "--tokenizer", "bytes", str(text)], stderr=subprocess.DEVNULL)
    while running.poll() is None and not list(out.glob("*.tmp-*")):
        time.sleep(0.001)
    running.send_signal(signal.SIGTERM)
    code = running.wait()
    left = [path.name for path in out.iterdir()]
    if code == 0:
        print("the prepare that was to be stopped had ended already")
    elif code != -signal.SIGTERM or left:
        failures.append(f"a48 prepare, stopped by SIGTERM: ended with {code}, left {left}")


def main():
    assert check(0, "", "--version").startswith("a48 ")
    assert "train" in check(0, "", "--help")
    assert '"hidden_size": 192' in check(0, "", "config", "print", "configs/tiny.json")

    check(2, "a command is missing")
    check(2, "did you mean train?", "trian")
    check(2, "did you mean --dry-run?", "train", "configs/tiny.json", "--dryrun")
    check(2, "none.json", "config", "validate", "none.json")
    check(2, "did you mean \"run.seed\"?", "config", "validate", "configs/tiny.json", "run.sed=1")

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        check(3, "no-such-run", "train", "--resume", str(empty / "no-such-run"))
        check(3, str(empty / "none"), "train", "configs/tiny.json", f"run.dir={empty / 'run'}", f"data.path={empty / 'none'}")
        check(3, "none", "eval", str(empty / "none"), "--text", "README.md")
        check(3, "none.txt", "prepare", "--out", str(empty / "out"), str(empty / "none.txt"))
        text = empty / "text.txt"
        text.write_text("one line\nand another\n" * 50)
        check(0, 'text.txt: no line is "***" (--split)', "prepare", "--out", str(empty / "set"), "--tokenizer", "bytes",
              "--split", "***", str(text))
        check(0, "", "inspect", str(empty / "set"), "--verify")
        (empty / "set" / "set_train_000000.bin").write_bytes(b"damaged")
        check(4, "truncated", "inspect", str(empty / "set"), "--verify")
        check(3, "truncated", "inspect", str(empty / "set"))
        check_stopped(empty)

    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            check(7, "cannot write the output", "config", "schema", stdout=full)

    for failure in failures:
        print(failure)
    return 1 if failures else 0


sys.exit(main())
