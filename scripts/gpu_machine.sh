#!/usr/bin/env bash
# A GPU machine without internet: what it lacks is collected here, then carried there with the tree; there one
# call builds with its own LibTorch 2.11 and CUDA compiler, tests and times.
# usage: scripts/gpu_machine.sh pack                  here, after scripts/setup.sh: fills gpu-machine/ (16 MB)
#        scripts/gpu_machine.sh run [--out DIR] [--minutes M] [--only build|test|bench|sanitize]
#   --out      where logs and JSON tables go (default gpu-results)
#   --minutes  stop beginning new parts after this time (default 9); build, tests, tables, sanitizer come in this order
#   --only     that part alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly carried=gpu-machine
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# Headers and libraries of the Debian packages that the build looks for, links replaced by what they lead to.
pack() {
  local packages=(nlohmann-json3-dev libspdlog-dev libspdlog1.10 libfmt-dev libfmt9 libcli11-dev catch2
    libsentencepiece-dev libsentencepiece0 libssl-dev libssl3)
  local list
  list=$(dpkg -L "${packages[@]}") || { echo "gpu_machine.sh: a package is missing; scripts/setup.sh installs them" >&2; exit 7; }
  rm -rf "$carried"
  mkdir -p "$carried"
  # Without pkg-config's files, which name the places of this machine, CMake looks for itself.
  grep -E '^/usr/(include|lib|share/cmake|share/pkgconfig)/' <<<"$list" | grep -vE '/(engines-3|ossl-modules|pkgconfig)/|lib(crypto|ssl|fmt|spdlog)\.a$' |
    while read -r file; do [[ -f $file ]] && echo "$file"; done | sort -u |
    tar -cf - --dereference --files-from - 2>/dev/null --absolute-names --transform 's,^/,,' | tar -xf - -C "$carried"
  echo "$carried: $(du -sh "$carried" | cut -f1), $(find "$carried" -type f | wc -l) files; carry it with the tree"
}

started=$SECONDS
minutes=9 out=gpu-results only=
in_time() { ((SECONDS - started < minutes * 60)); }
part() {      # NAME COMMAND…: the output goes to its own log, a failure is remembered
  local name=$1
  shift
  if ! in_time; then
    echo "left out for lack of time: $name" | tee -a "$out/summary.txt"
    failed+=("$name: no time")
    return
  fi
  local begin=$SECONDS code=0 limit=(timeout $((minutes * 60 - SECONDS + started)))
  [[ $(type -t "$1") == function ]] && limit=()
  "${limit[@]}" "$@" >"$out/$name.log" 2>&1 || code=$?
  ((code == 0)) || failed+=("$name: exit $code")
  echo "$name: exit $code, $((SECONDS - begin)) s" | tee -a "$out/summary.txt"
  ((code == 0)) || tail -n 40 "$out/$name.log"
}
failed=()

# The folder of the LibTorch in the python3 on PATH.
torch_root() {
  python3 -c 'import importlib.util as u, os; s = u.find_spec("torch"); print(os.path.dirname(s.origin) if s else "")'
}

configure() {
  local architecture
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d .)
  [[ $architecture == 90 ]] && architecture=90a
  cmake -S . -B build-gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DA48_CUDA=ON \
    -DA48_CUDA_ARCHITECTURES="$architecture" -DCMAKE_PREFIX_PATH="$PWD/$carried/usr;$(torch_root)"
}

tables() {      # PRESET…: the cost of quantization-aware training, each preset at its speed shape
  local preset
  for preset in "$@"; do
    part "train-$preset" bash -c "build-gpu/a48 bench train --device cuda --preset $preset --warmup 10 --steps 50 \
      --modes none,a8,a4.8,a4.8-fp4,a8-eager,a4.8-eager --json >'$out/train-$preset.json'"
  done
}

decoding() {      # SHAPE…: tokens per second of packed models with random weights, caches of 16 and 3 bits
  local shape bits
  for shape in "$@"; do
    part "model-$shape" build-gpu/a48 bench make-model --shape "$shape" --out "$out/$shape.a48" --head i6
    for bits in 16 3; do
      part "decode-$shape-kv$bits" bash -c "build-gpu/a48 bench decode '$out/$shape.a48' --device cuda --kv-bits $bits \
        --tokens 64 --depth 0,1024 --reps 21 --json >'$out/decode-$shape-kv$bits.json'"
    done
    rm -f "$out/$shape.a48"
  done
}

run() {
  mkdir -p "$out"
  : >"$out/summary.txt"
  nvidia-smi --query-gpu=name,driver_version,power.limit,clocks.sm,clocks.max.sm,memory.total --format=csv |
    tee "$out/gpu.txt"
  if [[ -z $only || $only == build ]]; then
    part configure configure
    part build cmake --build build-gpu -j "$(nproc)" --target a48 test_cuda test_gpu
  fi
  if [[ -z $only || $only == test ]]; then
    part test_cuda build-gpu/tests/core/kernels/cuda/test_cuda
    part test_gpu build-gpu/tests/test_gpu
  fi
  if [[ -z $only || $only == bench ]]; then
    part kernels bash -c "build-gpu/a48 bench kernels --device cuda --json >'$out/kernels.json'"
    tables 124M 0.5B 1.3B
    decoding 700M 2b4t
  fi
  if [[ -z $only || $only == sanitize ]] && command -v compute-sanitizer >/dev/null; then
    part memcheck compute-sanitizer --tool memcheck --error-exitcode 4 build-gpu/tests/core/kernels/cuda/test_cuda
    part racecheck compute-sanitizer --tool racecheck --error-exitcode 4 build-gpu/tests/core/kernels/cuda/test_cuda
  fi
  if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}" | tee -a "$out/summary.txt"
    exit 4
  fi
}

verb=${1:-}
[[ $# -gt 0 ]] && shift
while [[ $# -gt 0 ]]; do
  case $1 in
    --out) out=$2; shift 2 ;;
    --minutes) minutes=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) echo "gpu_machine.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
done
case $only in '' | build | test | bench | sanitize) ;; *) echo "gpu_machine.sh: --only $only (allowed: build, test, bench, sanitize)" >&2; exit 2 ;; esac
case $verb in
  pack) pack ;;
  run) run ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
