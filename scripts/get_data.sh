#!/usr/bin/env bash
# Fetches a known text and says how to prepare it.
# usage: scripts/get_data.sh NAME [--dir DIR]      (default: corpora/)
#   tinyshakespeare     1.1 MB   Shakespeare's plays, the small set of char-rnn
#   tinystories-valid    22 MB   short stories for children (TinyStories V2, validation part)
#   tinystories         2.2 GB   the same, training part
# A file is there under its name only when it is whole and its checksum is right. For the TinyStories the
# project knows no checksum of the publisher: the first download is recorded in NAME.sha256, later ones must equal it.
set -euo pipefail
start=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/get_data.sh; }
fail() { echo "get_data.sh: $2" >&2; exit "$1"; }      # CODE MESSAGE

name=
dir=corpora
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --dir) dir=$(realpath -m -- "$start/${2:?--dir needs a folder}"); [[ $2 == /* ]] && dir=$2; shift ;;
    -*) fail 2 "unknown option $1 (allowed: --dir, --help)" ;;
    *) [[ -z $name ]] || fail 2 "one NAME, not $name and $1"; name=$1 ;;
  esac
  shift
done

sha256=
split=
case $name in
  tinyshakespeare)
    url=https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt
    sha256=86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed ;;
  tinystories-valid)
    url=https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-valid.txt
    split=" --split '<|endoftext|>'" ;;
  tinystories)
    url=https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt
    split=" --split '<|endoftext|>'" ;;
  '') usage; exit 2 ;;
  *) fail 2 "unknown set $name (known: tinyshakespeare, tinystories-valid, tinystories)" ;;
esac

file=$dir/$name.txt
record=$file.sha256
mkdir -p "$dir"
[[ -n $sha256 || ! -f $record ]] || sha256=$(cut -d' ' -f1 "$record")

checksum() { sha256sum "$1" | cut -d' ' -f1; }
next_step() {
  echo "Next: build/a48 prepare --out $dir/$name$split $file"
}

if [[ -f $file ]]; then
  if [[ -z $sha256 || $(checksum "$file") == "$sha256" ]]; then
    echo "$file is already there."
    next_step
    exit 0
  fi
  fail 3 "$file is there, but its checksum is not $sha256; delete it to fetch it again"
fi

part=$file.part
trap 'rm -f "$part"' EXIT
download() {
  if command -v curl >/dev/null; then
    curl --fail --location --retry 3 --connect-timeout 20 --output "$part" "$url"
  elif command -v wget >/dev/null; then
    wget --tries=3 --timeout=20 --output-document="$part" "$url"
  else
    python3 - "$url" "$part" <<'PYTHON'
import shutil, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=20) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
except OSError as error:
    sys.exit(f"{error}")
PYTHON
  fi
}
echo "Fetching $url"
download || fail 3 "could not fetch $url: is this machine connected to the internet? A copy from elsewhere may be put at $file instead"
found=$(checksum "$part")
if [[ -n $sha256 && $found != "$sha256" ]]; then
  fail 3 "$url gave a file with checksum $found; it should be $sha256. Nothing was kept"
fi
if [[ -z $sha256 ]]; then
  printf '%s  %s\n' "$found" "$name.txt" >"$record"
  echo "warning: no checksum of the publisher is known; what came now is recorded in $record"
fi
mv "$part" "$file"
echo "$file: $(stat -c %s "$file") bytes"
next_step
