#!/usr/bin/env bash
# Installs all that bitnet-a48 needs: Debian packages (compiler, build tools, libraries, the King James
# Bible of the quickstart) and LibTorch with NumPy in .venv. Run it as often as you like: it leaves alone
# what is there, and does nothing else anywhere.
# usage: scripts/setup.sh [--cuda]
#   --cuda   the full LibTorch with its CUDA libraries (5 GB on disk), for tensors on a GPU
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly torch_version=2.11.0
packages=(
  g++ cmake ninja-build mold ccache pkg-config git ca-certificates
  nlohmann-json3-dev libspdlog-dev libcli11-dev libsentencepiece-dev libssl-dev catch2
  python3 python3-venv                                   # .venv, check scripts
  bible-kjv                                              # text of the quickstart
)
# The formatter of scripts/format.sh is pinned, and Debian 12 is the release that ships this version.
grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release && packages+=(clang-format-14)

cuda=0
case ${1:-} in
  '') ;;
  --cuda) cuda=1 ;;
  -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "setup.sh: unknown option $1 (allowed: --cuda)" >&2; exit 2 ;;
esac

# ---- What is there, what is missing ------------------------------------------------------------------

missing_packages() {
  local package present
  present=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
  for package in "${packages[@]}"; do
    grep -qxF "installed $package" <<<"$present" || echo "$package"
  done
}

# The folder of a LibTorch of our version that the user has: where CMAKE_PREFIX_PATH says, or in the
# python3 on PATH (found without importing it). The build looks in the same places (cmake/Torch.cmake).
installed_torch() {
  local root prefixes
  IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for root in "${prefixes[@]}" \
    "$(python3 -c 'import importlib.util as u, os; s = u.find_spec("torch"); print(os.path.dirname(s.origin) if s else "")' 2>/dev/null || true)"; do
    local header=$root/include/torch/headeronly/version.h
    if [[ -n $root && -f $root/lib/libtorch_cpu.so && -f $header ]] &&
      grep -q 'TORCH_VERSION_MAJOR 2$' "$header" && grep -q 'TORCH_VERSION_MINOR 11$' "$header"; then
      echo "$root"
      return
    fi
  done
}

# True when .venv holds the distribution NAME, in a version that starts with VERSION. pip writes RECORD last.
in_venv() {
  compgen -G ".venv/lib/python3*/site-packages/$1-$2*.dist-info/RECORD" >/dev/null
}

have_apt=0
command -v apt-get >/dev/null && command -v dpkg-query >/dev/null && have_apt=1
need_packages=()
((have_apt)) && mapfile -t need_packages < <(missing_packages)

need_pip=()      # arguments of pip install
if ((cuda)); then
  in_venv torch "$torch_version" && in_venv nvidia_cublas '' || need_pip+=("torch==$torch_version")
elif [[ -z $(installed_torch) ]]; then
  in_venv torch "$torch_version" || need_pip+=("torch==$torch_version")
  # libtorch_cpu.so needs these two, with or without a GPU; the wheel's other needs are for --cuda.
  in_venv nvidia_cuda_runtime 13.0. || need_pip+=('nvidia-cuda-runtime==13.0.*')
  in_venv nvidia_cuda_cupti 13.0. || need_pip+=('nvidia-cuda-cupti==13.0.*')
fi
in_venv numpy '' || need_pip+=(numpy)

if [[ ${#need_packages[@]} -eq 0 && ${#need_pip[@]} -eq 0 ]]; then
  echo "Everything is in place."
  exit 0
fi

# ---- What the installation will need: all of it is checked before anything is done ---------------------

problems=()
free_mb() { df -Pm "$1" 2>/dev/null | awk 'NR == 2 {print $4}'; }

need_mb=1500     # the build folder
if [[ " ${need_pip[*]} " == *" torch=="* ]]; then
  need_mb=$((cuda ? 16000 : 4000))   # wheels while they are unpacked, then the installed files
fi
free=$(free_mb .)
((free >= need_mb)) || problems+=("disk: $need_mb MB in $PWD; $free MB are free")
if [[ ${#need_pip[@]} -gt 0 ]]; then
  free=$(free_mb "${TMPDIR:-/tmp}")
  ((free >= 1000)) || problems+=("disk: 1000 MB in ${TMPDIR:-/tmp} (TMPDIR chooses another place); $free MB are free")
fi

if [[ -r /proc/meminfo ]]; then
  free=$(awk '/^(MemAvailable|SwapFree):/ {kb += $2} END {print int(kb / 1024)}' /proc/meminfo)
  ((free >= 2500)) || problems+=("memory: 2500 MB to compile one file with LibTorch's headers; $free MB are available")
fi

as_root=()
if [[ ${#need_packages[@]} -gt 0 && $(id -u) -ne 0 ]]; then
  if command -v sudo >/dev/null; then
    as_root=(sudo)
  else
    problems+=("root or sudo, to install Debian packages; or let an administrator run: apt-get install ${need_packages[*]}")
  fi
fi

if ((!have_apt)); then
  python3 -c 'import venv, ensurepip' 2>/dev/null || problems+=("python3 with venv")
fi

has_route() {
  awk '$2 == "00000000" && $8 == "00000000" {found = 1} END {exit !found}' /proc/net/route 2>/dev/null ||
    awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo" {found = 1} END {exit !found}' /proc/net/ipv6_route 2>/dev/null
}
has_proxy() {
  [[ -n ${https_proxy:-}${HTTPS_PROXY:-}${http_proxy:-}${PIP_INDEX_URL:-} ]] ||
    { ((have_apt)) && apt-config dump 2>/dev/null | grep -qi 'http.*::proxy'; }
}
update_log=$(mktemp)
trap 'rm -f "$update_log"' EXIT
if [[ -r /proc/net/route ]] && ! has_route && ! has_proxy; then
  problems+=("network: packages and wheels are downloaded, and this machine has neither a route nor a proxy")
elif [[ ${#need_packages[@]} -gt 0 && ${#problems[@]} -eq 0 ]]; then
  echo "Reading the package lists (apt-get update) …"
  "${as_root[@]}" apt-get -qq -o Acquire::Retries=3 -o APT::Update::Error-Mode=any update >"$update_log" 2>&1 ||
    problems+=("network: apt-get update failed:"$'\n'"$(sed 's/^/      /' "$update_log")")
fi

if [[ ${#problems[@]} -gt 0 ]]; then
  {
    echo "setup.sh cannot begin. Missing:"
    printf '  - %s\n' "${problems[@]}"
    echo "It would have installed:"
    [[ ${#need_packages[@]} -eq 0 ]] || echo "  Debian packages: ${need_packages[*]}"
    [[ ${#need_pip[@]} -eq 0 ]] || echo "  in .venv: ${need_pip[*]}"
  } >&2
  exit 7
fi

# ---- Debian packages ---------------------------------------------------------------------------------

if [[ ${#need_packages[@]} -gt 0 ]]; then
  echo "Installing Debian packages: ${need_packages[*]}"
  install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0
    -o DPkg::Lock::Timeout=300 install -y --no-install-recommends)
  if ! "${install[@]}" "${need_packages[@]}" >"$update_log" 2>&1; then
    cat "$update_log" >&2
    echo "setup.sh: apt-get could not install the packages (its own words are above)." >&2
    exit 7
  fi
elif ((!have_apt)); then
  echo "No apt-get here. The build names what it does not find; on Debian it would be: ${packages[*]}"
fi

# ---- .venv: LibTorch and NumPy -----------------------------------------------------------------------

if [[ ${#need_pip[@]} -gt 0 ]]; then
  python=/usr/bin/python3      # Debian's, for which python3-venv was installed; PATH may lead to another
  [[ -x $python ]] || python=python3
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    echo "Making .venv with $($python --version)"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  echo "Installing in .venv: ${need_pip[*]}"
  deps=(--no-deps)             # without them the wheel is 1.3 GB on disk instead of 5
  ((cuda)) && deps=()
  if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input "${deps[@]}" "${need_pip[@]}"; then
    echo "setup.sh: pip could not install ${need_pip[*]} (its own words are above)." >&2
    exit 7
  fi
fi
echo "Everything is in place."
