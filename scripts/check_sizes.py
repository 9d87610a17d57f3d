#!/usr/bin/env python3
"""Reports files and functions that are longer than the guideline. A report, never a failure: a long file
often holds two ideas, which is worth noticing; some wholes read best uncut."""

import re
import sys

import tree

FILE_LINES = {"core/kernels/": 400, "": 300}  # first prefix that fits
FUNCTION_LINES = {"tools/train.cpp": 60, "training/trainer.cpp": 120, "": 60}
# The signature of a function at the start of a line, up to its opening brace; the closing one stands at the
# same indentation, because clang-format says so.
FUNCTION = re.compile(r"^( *)(?!namespace|class|struct|enum|extern|if|for|while|switch|do|else|TEST_CASE)"
                      r"[A-Za-z_][^\n;{}#]*\([^;{}]*\)[^;{}()]*\{\n", re.MULTILINE)


def guideline(table, path):
    return next(limit for prefix, limit in table.items() if path.startswith(prefix))


def functions(text):
    """(first line, number of lines) of each function body that spans lines."""
    for match in FUNCTION.finditer(text):
        end = re.compile(rf"^{match.group(1)}\}}", re.MULTILINE).search(text, match.end())
        if end:
            first = text.count("\n", 0, match.start()) + 1
            yield first, text.count("\n", match.start(), end.start()) + 1


def main():
    paths = tree.files(suffixes=(".h", ".cpp", ".cu", ".cuh", ".py", ".sh"))
    lines = 0
    for path in paths:
        text = (tree.ROOT / path).read_text(encoding="utf-8")
        length = text.count("\n")
        lines += length
        if length > guideline(FILE_LINES, path):
            print(f"{path}: {length} lines (guideline {guideline(FILE_LINES, path)})")
        if path.endswith((".py", ".sh")) or path.startswith("tests/"):
            continue
        for first, count in functions(text):
            if count > guideline(FUNCTION_LINES, path):
                print(f"{path}:{first}: a function of {count} lines (guideline {guideline(FUNCTION_LINES, path)})")
    print(f"{len(paths)} files, {lines} lines.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
