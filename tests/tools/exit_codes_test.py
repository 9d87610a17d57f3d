#!/usr/bin/env python3
"""The exit codes of the program for command lines that need no training: 0, 2, 3, 7. Messages go to stderr
and name what is wrong; results go to stdout.

usage: exit_codes_test.py A48
"""

import subprocess
import sys
import tempfile
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

    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            check(7, "cannot write the output", "config", "schema", stdout=full)

    for failure in failures:
        print(failure)
    return 1 if failures else 0


sys.exit(main())
