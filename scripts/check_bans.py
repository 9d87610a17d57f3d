#!/usr/bin/env python3
"""What no file of the tree may contain, each ban with its reason. Comments and strings do not count, except
for bans on words.

usage: check_bans.py [--root DIR]
"""

import argparse
import re
import sys
from pathlib import Path

import tree

CPP = (".h", ".cpp", ".cu", ".cuh")
FLOORS_0_TO_3 = ("core/",)
LIBRARIES = ("core/", "modules/", "data/", "training/")
EVERYWHERE = ("",)

# (pattern, prefixes of paths, suffixes, files that may, what is wrong and what to write instead)
CODE_BANS = [
    (r"(?<![\w.])(?:std::)?l?l?round[fl]?\s*\(", FLOORS_0_TO_3, CPP, (),
     "round and its kin send ties away from zero: use round_even (core/quant/math.h)"),
    (r"(?<![\w.])(?:std::)?(?:l?l?rint|nearbyint)[fl]?\s*\(", FLOORS_0_TO_3, CPP, ("core/quant/math.h", "core/base/fmath.h"),
     "rounding is spelled once: use round_even (core/quant/math.h)"),
    (r"(?<!\w)assert\s*\(", EVERYWHERE, CPP, (), "assert vanishes in release builds: use A48_ASSERT or A48_CHECK (core/base/check.h)"),
    (r"(?<![\w.>])(?:std::)?exit\s*\(", LIBRARIES, CPP, (), "a library never ends the program: throw a48::Error (core/base/check.h)"),
    (r"std::format\b|<format>", EVERYWHERE, CPP, (), "g++ 12 has no std::format: use a48::concat (core/base/check.h)"),
    (r"\busing\s+namespace\s+std\b", EVERYWHERE, CPP, (), "name what you use from std"),
    (r"^\s*(?:export\s+module|import)\s", EVERYWHERE, CPP, (), "no C++20 modules: g++ 12"),
    (r"\bstd::(?:thread|jthread|async)\b", ("core/quant/", "core/format/", "core/config/", "core/kernels/", "core/ops/", "modules/"), CPP, (),
     "compute threads are started by core/base/parallel only"),
    (r"TORCH_LIBRARY", EVERYWHERE, CPP, (), "no dispatcher registration: call the function"),
    (r"#\s*include\s*[<\"](?:torch|ATen|c10)/", EVERYWHERE, (".cu", ".cuh"), (), "no LibTorch header under nvcc"),
    (r"-(?:ffast-math|Ofast|funsafe-math-optimizations|fassociative-math|use_fast_math)\b|-ftz=true", EVERYWHERE,
     ("CMakeLists.txt", ".cmake", "CMakePresets.json"), (), "bits must not depend on the compiler's freedom"),
    (r"\bfile\s*\(\s*GLOB", EVERYWHERE, ("CMakeLists.txt",), (), "source lists are explicit"),
    (r"FetchContent|ExternalProject|file\s*\(\s*DOWNLOAD", EVERYWHERE, ("CMakeLists.txt", ".cmake"), (), "nothing is downloaded at configure time"),
]
WORD_BANS = [
    (r"\b(?:TODO|FIXME|XXX|HACK)\b", EVERYWHERE, CPP + (".py", ".sh", ".cmake", "CMakeLists.txt"), ("scripts/check_bans.py",),
     "finish it, or say in an issue what is missing"),
    (r"(?<![\w./])/(?:root|work|home)/", EVERYWHERE, ("",), ("scripts/check_bans.py",), "a path of one machine"),
]
NAME_BAN = re.compile(r"(?:^|_)(?:utils?|helpers?|fast|new|v2|optimized|misc|common|part2)(?:_|$)")


def without_comments(text):
    """The text with comments and string contents blanked, line numbers kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    keep = re.compile(r"[^\n]")

    def blank(match):
        start = text.rfind("\n", 0, match.start()) + 1
        if match.group().startswith('"') and text[start:match.start()].lstrip().startswith("#"):
            return match.group()  # the name in an #include
        return keep.sub(" ", match.group())

    return token.sub(blank, text)


def findings(path, text, bans):
    for pattern, prefixes, suffixes, may, reason in bans:
        if path in may or not path.startswith(prefixes) or not path.endswith(suffixes):
            continue
        for match in re.finditer(pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start() + len(match.group()) - len(match.group().lstrip())) + 1
            yield f"{path}:{line}: {match.group().strip()}: {reason}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    errors = []
    paths = tree.files(root)
    for path in paths:
        if path.endswith(CPP):
            for part in Path(path).parts[:-1] + (Path(path).stem,):
                if NAME_BAN.search(part):
                    errors.append(f"{path}: the name {part} says nothing: say what the code does")
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        errors += findings(path, without_comments(text) if path.endswith(CPP) else text, CODE_BANS)
        errors += findings(path, text, WORD_BANS)
    print("\n".join(errors) if errors else f"{len(paths)} files hold nothing that is banned.")
    return 4 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
