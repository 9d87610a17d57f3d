#!/usr/bin/env python3
"""README.md says what is true: its links lead somewhere, its options exist, its configuration table is the program's.

    readme_test.py [PATH_TO_a48]      without the program, the table is not compared. Files that README.md names: walk_test.py
"""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None


class Readme(unittest.TestCase):
    def test_links(self):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", README):
            if "://" not in target:
                self.assertTrue((ROOT / target).exists(), f"README.md links to {target}, which does not exist")

    def test_options_of_scripts(self):
        for script, option in re.findall(r"scripts/(\w+\.sh)[^\n|`]*?\s(--[a-z-]+)", README):
            self.assertIn(option, (ROOT / "scripts" / script).read_text(encoding="utf-8"), f"README.md: {script} {option}")

    def test_quoted_example(self):
        example = (ROOT / "tests/modules/api_example.cpp").read_text(encoding="utf-8")
        quoted = README.split("```cpp\n", 1)[1].split("```", 1)[0]
        for line in quoted.splitlines():
            if line.strip() not in ("", "…", "}"):
                self.assertIn(line.strip(), example, "README.md quotes a line that tests/modules/api_example.cpp does not hold")

    @unittest.skipUnless(PROGRAM, "needs a48")
    def test_configuration_table(self):
        inside = README.split("<!-- config: begin -->\n", 1)[1].split("<!-- config: end -->", 1)[0]
        table = subprocess.run([PROGRAM, "config", "table"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(inside.strip(), table.strip(), "the table in README.md is not what `a48 config table` prints")


if __name__ == "__main__":
    unittest.main()
