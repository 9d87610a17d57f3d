#!/usr/bin/env python3
"""Who may include whom: the table of floors, and the check that the tree keeps to it.

All targets share one include path, so CMake cannot enforce this; this script does, as a ctest. It also
fails on a source that its folder's CMakeLists.txt does not list (a test that would never run), and lists
sources without a test.

usage: check_layers.py [--root DIR] [--untested]
  --root DIR   the tree to check (default: the one this script is in)
  --untested   name the sources without a test instead of counting them
"""

import argparse
import re
import sys
from pathlib import Path

import tree

# Folder -> the folders and single headers of ours that its files may include, besides its own folder.
BASE = ["core/base"]
SCHEME = ["core/quant/scheme.h"]
FLOORS_0_TO_2 = ["core/base", "core/quant", "core/config", "core/format", "core/kernels"]
MODULES = FLOORS_0_TO_2 + ["core/runtime", "core/ops"]
TRAINING = MODULES + ["modules", "data", "a48_version.h"]
# The torch-free headers over torch sources: all that a tool sees of floors 4 and 5.
TORCH_FREE = ["training/trainer.h", "training/scorer.h", "training/bench.h", "modules/exchange/exchange.h"]
FLOORS = {
    "core/base": [],
    "core/quant": BASE,
    "core/config": BASE + SCHEME,
    "core/format": BASE + SCHEME,
    "core/kernels": ["core/base", "core/quant"],
    "core/runtime": FLOORS_0_TO_2,
    "core/ops": FLOORS_0_TO_2,
    "modules": MODULES,
    "data": ["core/base", "core/quant", "core/config", "core/format", "core/runtime/tokenizer.h"],
    "training": TRAINING,
    "tools": FLOORS_0_TO_2 + ["core/runtime", "data", "a48_version.h", "tests/support/cases.h"] + TORCH_FREE,
}
# A test of folder x sees what x sees, x itself and tests/support.

# Library -> the files that may include it (a folder: all its files; a file: it alone).
LIBRARIES = {
    r"spdlog/|fmt/": ["core/base/log.cpp"],
    r"nlohmann/": ["core/base/json.cpp"],
    r"openssl/": ["core/base/hash.cpp"],
    r"\w*intrin\.h$|cpuid\.h$": ["core/kernels/cpu", "core/base/cpu.cpp"],
    r"cuda|cub/|mma\.h": ["core/kernels/cuda", "core/ops/bridge_cuda.cpp", "core/base/host_device.h", "tests/cuda_on_host/runtime.cpp", "tests/core/quant/device_headers.cu"],
    r"sentencepiece": ["data/tokenizer.cpp"],
    r"CLI/": ["tools/flags.h"],
    r"httplib\.h": ["tools/serve.cpp"],
    r"catch2/": ["tests/support/catch.h", "tests/main.cpp"],
    r"sanitizer/": ["tests/cuda_on_host"],
    r"c10/cuda/|ATen/cuda/": ["core/ops/bridge_cuda.cpp"],
    r"torch/csrc/distributed/|nccl\.h|gloo/": ["training/distributed.cpp"],
    r"torch/torch\.h|torch/extension\.h|torch/all\.h": [],  # by precompiled header only
    r"ATen/|c10/|torch/": ["core/ops", "modules", "training", "tests/core/ops", "tests/modules", "tests/training", "tests/support/gradcheck.h"],
}
# What a header of core/ops may take from LibTorch; its sources take what they need.
OPS_HEADER_MAY_INCLUDE = ["ATen/core/Tensor.h"]

STANDARD = re.compile(r"^[a-z_0-9]+$|^(sys|arpa|netinet)/[a-z_]+\.h$|^[a-z_0-9]+\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
SOURCE_SUFFIXES = (".h", ".cpp", ".cu", ".cuh")


def floor_of(path):
    """The folder of FLOORS that a file belongs to, or None."""
    for folder in FLOORS:
        if path.startswith(folder + "/"):
            return folder
    return None


def within(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def allowed_of(path):
    """The places that a file may include, its own folder with them; None: no rule for this file."""
    if path.startswith(("tests/support/", "tests/fuzz/")) or path == "tests/main.cpp":
        return ["tests/support", "tests/fuzz", "core/ops/device.h"] + FLOORS_0_TO_2 + ["core/runtime", "data"]
    if path.startswith("tests/cuda_on_host/"):  # the CUDA kernels and their cases, run without a GPU
        return FLOORS["core/kernels"] + ["core/kernels", "tests/support", "tests/core/kernels", "tests/cuda_on_host"]
    if path.startswith("tests/"):
        tested = floor_of(path[len("tests/"):])
        own = str(Path(path).parent)
        if tested is None:
            return None
        if own == "tests/core/kernels/cuda":
            own = "tests/core/kernels"
        return FLOORS[tested] + [tested, "tests/support", own]
    folder = floor_of(path)
    return None if folder is None else FLOORS[folder] + [folder]


def check_includes(root, path, errors):
    allowed = allowed_of(path)
    if allowed is None:
        errors.append(f"{path}: belongs to no floor (floors: {', '.join(FLOORS)}; tests mirror them)")
        return
    text = (root / path).read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        quote, name = match.groups()
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        library = next((pattern for pattern in LIBRARIES if re.match(pattern, name)), None)
        if quote == '"':
            if name != "a48_version.h" and not (root / name).is_file():
                errors.append(f'{where}: "{name}" is no file of the tree (includes start at its root)')
            elif not within(name, allowed):
                errors.append(f'{where}: includes "{name}"; allowed here: {", ".join(allowed)}')
        elif library is not None:
            places = LIBRARIES[library]
            ops_header = path.startswith("core/ops/") and path.endswith(".h")
            if not within(path, places):
                errors.append(f"{where}: includes <{name}>; allowed in: {', '.join(places) or 'no file'}")
            elif ops_header and name not in OPS_HEADER_MAY_INCLUDE:
                errors.append(f"{where}: a header of core/ops includes <{name}>; allowed: {', '.join(OPS_HEADER_MAY_INCLUDE)}")
        elif not STANDARD.match(name):
            errors.append(f"{where}: includes <{name}>, a library that check_layers.py does not know")


def check_listed(root, path, errors):
    """Every source stands in the CMakeLists.txt of its folder or of one above."""
    for folder in Path(path).parents:
        lists = root / folder / "CMakeLists.txt"
        if lists.is_file():
            relative = str(Path(path).relative_to(folder))
            if re.search(rf"(?<![\w/.-]){re.escape(relative)}(?![\w.-])", lists.read_text(encoding="utf-8")):
                return
    errors.append(f"{path}: no CMakeLists.txt lists it, so it is never built")


def untested(paths):
    """Sources whose mirror test tests/<folder>/<stem>_test.cpp is missing; ISA variants share one."""
    missing = []
    for path in paths:
        if floor_of(path) is None or path.startswith("tools/") or not path.endswith((".h", ".cpp")):
            continue
        folder, stem = str(Path(path).parent), Path(path).stem
        stem = re.sub(r"_(avx2|avx512|avx512_bf16|neon)$", "", stem)
        names = {f"tests/{folder}/{stem}_test.cpp", f"tests/{folder.removesuffix('/cpu')}/{stem}_test.cpp"}
        if not names & set(paths):
            missing.append(f"{folder}/{stem}")
    return sorted(set(missing))


def files_of(root):
    top = {folder.split("/")[0] for folder in FLOORS} | {"tests"}
    return [p for p in tree.files(root, SOURCE_SUFFIXES) if p.split("/")[0] in top]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--untested", action="store_true")
    options = parser.parse_args()

    paths = files_of(options.root)
    errors = []
    for path in paths:
        check_includes(options.root, path, errors)
        if path.endswith((".cpp", ".cu")):
            check_listed(options.root, path, errors)
    print("\n".join(errors) if errors else f"{len(paths)} files keep to the floors.")
    missing = untested(paths)
    if options.untested:
        print("\n".join(f"no test: {name}" for name in missing))
    elif missing:
        print(f"{len(missing)} sources have no test of their own (--untested names them).")
    return 4 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
