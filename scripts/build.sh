#!/usr/bin/env bash
# Configures and builds in build/, the one folder that quickstart.sh, test.sh and .ci/run share.
# usage: scripts/build.sh [TARGET…]      (default: everything)
#   A48_PRESET   release (default) or ci
#   A48_JOBS     compile jobs (default: one per core; jobs with LibTorch headers are limited by memory too)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${A48_PRESET:-release}
case $preset in
  release | ci) ;;
  *) echo "A48_PRESET=$preset: build.sh builds release or ci; for the others: cmake --preset $preset" >&2; exit 2 ;;
esac

# A clone that was moved or copied holds absolute paths of its old place: start afresh.
fresh=()
if [[ -f build/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" build/CMakeCache.txt; then
  fresh=(--fresh)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake --preset "$preset" "${fresh[@]}" >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
grep -E '^-- (LibTorch|CUDA kernels|Compile jobs)' "$log" || true
cmake --build build -j "${A48_JOBS:-$(nproc)}" ${1:+--target "$@"}
