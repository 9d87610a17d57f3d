#!/usr/bin/env python3
"""The walk from the command to the arithmetic, one file per hop: each file exists and its first comment names
the next one down. Every file that README.md names exists too.

usage: walk_test.py SOURCE_DIR
"""

import re
import sys
from pathlib import Path

TRAINING = ["tools/train.cpp", "training/trainer.cpp", "training/step.cpp", "modules/causal_lm.cpp", "modules/block.cpp",
            "modules/bit_linear.cpp", "core/ops/bit_linear.cpp", "core/kernels/cpu/quantize_rows.cpp", "core/quant/math.h"]
INFERENCE = ["tools/generate.cpp", "core/runtime/generate.cpp", "core/runtime/decoder.cpp", "core/runtime/linear.cpp",
             "core/kernels/table.cpp", "core/kernels/cpu/gemv_ternary.cpp", "core/kernels/cpu/gemv_ternary_avx2.cpp",
             "core/quant/pack.h", "core/quant/math.h"]
WALKS = [TRAINING, INFERENCE]


def first_comment(text):
    """The comment lines before the first line of code (an #include or #pragma does not end them)."""
    lines = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("//"):
            lines.append(stripped)
        elif stripped and not stripped.startswith("#"):
            break
    return "\n".join(lines)


def names(comment, path):
    """Does a comment name a file, by its path or by its name?"""
    return path in comment or re.search(rf"(?<![\w/]){re.escape(Path(path).name)}\b", comment) is not None


def main():
    root = Path(sys.argv[1])
    errors = []
    for walk in WALKS:
        for here, below in zip(walk, walk[1:] + [None]):
            if not (root / here).is_file():
                errors.append(f"{here} does not exist")
            elif below and not names(first_comment((root / here).read_text(encoding="utf-8")), below):
                errors.append(f"{here}: its first comment does not name the next file of the walk, {below}")
    readme = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").is_file() else ""
    top = "core|modules|data|training|tools|tests|scripts|configs"
    for path in sorted(set(re.findall(rf"(?<![\w/.-])((?:{top})/[\w./-]+\.(?:h|cpp|cu|py|sh|json|cmake))\b", readme))):
        if not (root / path).exists():
            errors.append(f"README.md names {path}, which does not exist")
    for walk in WALKS:
        errors += [f"README.md does not show {path} of the walk" for path in walk if readme and path not in readme]
    print("\n".join(errors) if errors else "The walk is real.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
