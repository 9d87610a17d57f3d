#!/usr/bin/env python3
"""The files of the tree, for the check scripts: what git tracks or would track; outside a clone (an unpacked
archive), all but hidden, build and run folders.

usage: tree.py SUFFIX…      prints the files that end in one of them
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = ("build", "runs", "__pycache__")


def files(root=ROOT, suffixes=("",)):
    """Sorted paths relative to `root` of the existing files that end in one of `suffixes`."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = listed.stdout.splitlines()
    else:
        paths = []
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if f == ".ci" or not f.startswith((".",) + NOT_OURS)]
            paths += [str(Path(folder, name).relative_to(root)) for name in names]
    return sorted(p for p in set(paths) if p.endswith(tuple(suffixes)) and (Path(root) / p).is_file())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: tree.py SUFFIX…")
    print("\n".join(files(suffixes=sys.argv[1:])))
