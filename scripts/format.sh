#!/usr/bin/env bash
# Formats our C++ and CUDA sources with the pinned clang-format.
# usage: scripts/format.sh [--check]      --check changes nothing and fails when a file would change
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly version=14
tool=
for candidate in "clang-format-$version" clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q "version $version\."; then
    tool=$candidate
    break
  fi
done
if [[ -z $tool ]]; then
  echo "format.sh: clang-format $version is not on PATH (Debian 12: apt-get install clang-format-$version)" >&2
  exit 7
fi

mapfile -t files < <(python3 scripts/tree.py .h .cpp .cu .cuh)
case ${1:-} in
  '') "$tool" -i "${files[@]}" ;;
  --check)
    changed=()
    for file in "${files[@]}"; do
      "$tool" "$file" | cmp -s - "$file" || changed+=("$file")
    done
    if [[ ${#changed[@]} -gt 0 ]]; then
      printf 'not formatted: %s\n' "${changed[@]}"
      echo "scripts/format.sh formats them."
      exit 4
    fi
    echo "${#files[@]} files are formatted."
    ;;
  *) echo "format.sh: unknown option $1 (allowed: --check)" >&2; exit 2 ;;
esac
