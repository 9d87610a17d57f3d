#!/usr/bin/env python3
"""Fails when an object file built for AVX2 or AVX-512 holds a weak symbol: an inline function that is shared
with other files. The linker keeps one copy of such a function, and if that is the AVX one, the portable path
dies on a CPU without AVX. The remedy: an anonymous namespace, or a function that is always inlined.

usage: check_isa_objects.py OBJECT…
"""

import re
import subprocess
import sys

WEAK = set("WVwvu")


def main():
    objects = [o for argument in sys.argv[1:] for o in argument.split(";") if re.search(r"_(avx2|avx512|avx512_bf16)\.cpp\.o$", o)]
    if not objects:
        print("skipped: no object file for an instruction set")
        return 77
    errors = []
    for path in objects:
        listed = subprocess.run(["nm", "--demangle", "--defined-only", "--format=bsd", path], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            _, kind, symbol = line.split(maxsplit=2)
            if kind in WEAK:
                errors.append(f"{path}: weak symbol {symbol}")
    print("\n".join(errors) if errors else f"{len(objects)} objects without a weak symbol.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
