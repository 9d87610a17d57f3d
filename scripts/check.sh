#!/usr/bin/env bash
# Checks of the source tree.
# usage: scripts/check.sh [fast|full]
#   fast   format, layers, bans, sizes: seconds, builds nothing
#   full   also clang-tidy, and the torch-free part built and tested alone (core-only) and under the
#          address, undefined-behaviour and thread sanitizers; the fuzz targets for a minute each
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/phases.sh

mode=${1:-fast}
case $mode in
  fast | full) ;;
  *) echo "check.sh: unknown mode $mode (allowed: fast, full)" >&2; exit 2 ;;
esac

failed=()
check() {      # TITLE COMMAND…: goes on after a failure, so that one run shows all of them
  local title=$1
  shift
  phase "$title"
  "$@" || failed+=("$title")
}

build_and_test() {      # PRESET
  cmake --preset "$1" >"build-$1.log" 2>&1 || { cat "build-$1.log"; rm -f "build-$1.log"; return 1; }
  rm -f "build-$1.log"
  cmake --build "build-$1" -j "$(nproc)" &&
    ctest --test-dir "build-$1" -j "$(nproc)" --no-tests=error --output-on-failure -LE 'slow|oracle'
}

tidy() {      # the torch-free part, with the compile commands of core-only: g++'s, of which clang 14 lacks a
              # warning option and a probe of cpu.cpp
  command -v clang-tidy-14 >/dev/null || { echo "clang-tidy 14 is not on PATH (Debian 12: apt-get install clang-tidy-14)"; return 1; }
  python3 scripts/tree.py .cpp | grep -E '^(core|data)/' | grep -v -e '^core/ops/' -e '^core/base/cpu.cpp' |
    xargs -P "$(nproc)" -n 2 clang-tidy-14 -p build-core-only --quiet --extra-arg=-Wno-unknown-warning-option
}

check "Format" scripts/format.sh --check
check "Layers" python3 scripts/check_layers.py
check "Bans" python3 scripts/check_bans.py
check "Sizes (a report)" python3 scripts/check_sizes.py
if [[ $mode == full ]]; then
  check "core-only: without LibTorch" build_and_test core-only
  check "clang-tidy" tidy
  check "asan: address and undefined behaviour" build_and_test asan
  check "fuzz: packed files for a minute, address sanitizer" build-asan/tests/fuzz/packed_file_fuzz 60
  check "tsan: threads" build_and_test tsan
fi

phases_done
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 4
fi
