#!/usr/bin/env bash
# Set-up, build, tests: everything that should pass on any machine (tests of a GPU skip themselves).
# usage: scripts/test.sh [argument of ctest…]     e.g. scripts/test.sh -R core/quant, or -L slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/phases.sh

phase "Set-up"
scripts/setup.sh

phase "Build"
scripts/build.sh

phase "Tests"
select=(-LE 'slow|oracle')
[[ $# -eq 0 ]] || select=("$@")
status=0
ctest --test-dir build -j "$(nproc)" --no-tests=error --output-on-failure "${select[@]}" | tee build/ctest.log || status=$?
phases_done
# The summary once more, so that it is the last thing to read.
printf '\n'
sed -n '/tests passed/,$p' build/ctest.log
exit "$status"
