#!/usr/bin/env python3
"""The check scripts find what they are for: each rule is broken once in a small tree of its own."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

CLEAN = {
    "core/base/check.h": '#pragma once\n#include <string>\n',
    "core/quant/scheme.h": '#pragma once\n#include "core/base/check.h"\n',
    "core/quant/math.h": '#pragma once\n#include "core/quant/scheme.h"\n',
    "core/quant/reference.cpp": '#include "core/quant/math.h"\n',
    "core/quant/CMakeLists.txt": "a48_library(a48_quant SOURCES reference.cpp)\n",
    "data/order.h": "#pragma once\n",
}


def run(script, files):
    """(exit status, output) of a check script on a tree with `files`."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        subprocess.run(["git", "init", "-q", root], check=True)
        done = subprocess.run([sys.executable, SCRIPTS / script, "--root", root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class Layers(unittest.TestCase):
    def refuses(self, name, text, message):
        status, output = run("check_layers.py", {**CLEAN, name: text})
        self.assertEqual(status, 4, output)
        self.assertIn(message, output)
        self.assertIn(name, output)

    def test_clean_tree_passes(self):
        status, output = run("check_layers.py", CLEAN)
        self.assertEqual(status, 0, output)

    def test_upward_include(self):
        self.refuses("core/base/view.h", '#include "core/quant/math.h"\n', 'includes "core/quant/math.h"')

    def test_config_sees_the_scheme_table_only(self):
        self.refuses("core/config/types.h", '#include "core/quant/math.h"\n', 'includes "core/quant/math.h"')

    def test_modules_do_not_see_data(self):
        self.refuses("modules/block.h", '#include "data/order.h"\n', 'includes "data/order.h"')

    def test_relative_include(self):
        self.refuses("core/quant/pack.h", '#include "math.h"\n', "no file of the tree")

    def test_torch_below_the_bridge(self):
        self.refuses("core/kernels/api.h", "#include <ATen/core/Tensor.h>\n", "includes <ATen/core/Tensor.h>")

    def test_torch_header_is_precompiled_only(self):
        self.refuses("modules/block.h", "#include <torch/torch.h>\n", "no file")

    def test_ops_header_takes_tensor_only(self):
        self.refuses("core/ops/topk.h", "#include <ATen/ATen.h>\n", "a header of core/ops")

    def test_library_in_its_one_file(self):
        self.refuses("core/base/files.h", "#include <nlohmann/json.hpp>\n", "core/base/json.cpp")

    def test_unknown_library(self):
        self.refuses("core/base/files.h", "#include <boost/format.hpp>\n", "does not know")

    def test_catch_through_support(self):
        self.refuses("tests/core/quant/math_test.cpp", "#include <catch2/catch.hpp>\n", "tests/support/catch.h")

    def test_file_outside_the_floors(self):
        self.refuses("core/extra/thing.h", "#pragma once\n", "belongs to no floor")

    def test_unlisted_source(self):
        self.refuses("core/quant/topk.cpp", "\n", "never built")


class Bans(unittest.TestCase):
    def refuses(self, name, text, message):
        status, output = run("check_bans.py", {**CLEAN, name: text})
        self.assertEqual(status, 4, output)
        self.assertIn(message, output)
        self.assertIn(name, output)

    def test_clean_tree_passes(self):
        allowed = "// round(x) and exit(1) in a comment\nint x = round_even(y);\nauto s = \"round(1)\";\nstatic_assert(true);\n"
        status, output = run("check_bans.py", {**CLEAN, "core/quant/topk.h": allowed})
        self.assertEqual(status, 0, output)

    def test_round(self):
        for call in ("std::round(x)", "roundf(x)", "lround(x)", "llround (x)", "std::lroundl(x)"):
            self.refuses("core/quant/topk.h", f"auto y = {call};\n", "round_even")

    def test_second_spelling_of_rounding(self):
        self.refuses("core/kernels/cpu/glu_rows.cpp", "auto y = std::nearbyint(x);\n", "round_even")

    def test_exit_in_a_library(self):
        self.refuses("data/order.cpp", "std::exit(1);\n", "a48::Error")

    def test_assert(self):
        self.refuses("tools/cli.cpp", "assert(x);\n", "A48_ASSERT")

    def test_fast_math(self):
        self.refuses("core/CMakeLists.txt", "add_compile_options(-ffast-math)\n", "compiler's freedom")

    def test_torch_in_cuda(self):
        self.refuses("core/kernels/cuda/topk_rows.cu", "#include <ATen/ATen.h>\n", "under nvcc")

    def test_unfinished_work(self):
        self.refuses("core/quant/topk.h", "// TO" + "DO\n", "finish it")

    def test_empty_names(self):
        self.refuses("core/base/string_utils.h", "#pragma once\n", "string_utils")


if __name__ == "__main__":
    unittest.main()
