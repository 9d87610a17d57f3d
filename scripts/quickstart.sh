#!/usr/bin/env bash
# From a clone to a trained BitNet a4.8 model: set-up, build, text, training through both stages, evaluation,
# a picture of the loss, samples, and the same model as a packed file. About 5 minutes of training on 2 cores, after the build.
# usage: scripts/quickstart.sh [--minutes M] [--dir DIR] [--text FILE…] [--vocab-size N] [--fresh]
#   --minutes M      time to train (default 5); the number of steps follows from the speed of this machine
#   --dir DIR        where everything is written (default runs/quickstart)
#   --text FILE…     train on these text files, not on the King James Bible
#   --vocab-size N   pieces of the tokenizer (default 2048; short texts need fewer)
#   --fresh          set an earlier quickstart in DIR aside (DIR.1, DIR.2, …) and start anew
# Run again, it goes on where it stopped; Ctrl-C saves the training first.
set -euo pipefail
started_in=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/phases.sh

usage_error() { echo "quickstart.sh: $1 (scripts/quickstart.sh --help shows the options)" >&2; exit 2; }
from_start() { realpath -m -- "$(cd "$started_in" && realpath -m -- "$1")"; }

minutes=5
dir=runs/quickstart
vocab=2048
fresh=0
texts=()
while [[ $# -gt 0 ]]; do
  case $1 in
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' scripts/quickstart.sh; exit 0 ;;
    --fresh) fresh=1 ;;
    --minutes | --dir | --vocab-size)
      [[ $# -ge 2 ]] || usage_error "$1 needs a value"
      case $1 in
        --minutes) minutes=$2 ;;
        --dir) dir=$(from_start "$2") ;;
        --vocab-size) vocab=$2 ;;
      esac
      shift ;;
    --text)
      [[ $# -ge 2 && $2 != --* ]] || usage_error "--text needs a file"
      while [[ $# -ge 2 && $2 != --* ]]; do texts+=("$(from_start "$2")"); shift; done ;;
    *) usage_error "unknown argument $1" ;;
  esac
  shift
done
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ && ! $minutes =~ ^0+(\.0+)?$ ]] || usage_error "--minutes $minutes: a number above 0"
[[ $vocab =~ ^[1-9][0-9]*$ ]] || usage_error "--vocab-size $vocab: a whole number"
for text in "${texts[@]}"; do
  [[ -f $text && -r $text ]] || { echo "quickstart.sh: --text $text: no such file, or not readable" >&2; exit 3; }
done
no_bible() {
  {
    echo "quickstart.sh: the default text is the King James Bible of Debian's package bible-kjv, and there is no program 'bible' here."
    echo "  on Debian or Ubuntu:  apt-get install bible-kjv"
    echo "  on your own text:     scripts/quickstart.sh --text FILE…   (1 MB or more of plain text)"
  } >&2
  exit 3
}
# setup.sh brings the package where there is apt-get; elsewhere say it before the long build.
[[ ${#texts[@]} -gt 0 ]] || command -v bible >/dev/null || command -v apt-get >/dev/null || no_bible

# One folder belongs to one set of arguments.
arguments="minutes $minutes, vocabulary $vocab, text ${texts[*]:-King James Bible}"
if ((fresh)) && [[ -f $dir/arguments ]]; then
  number=1
  while [[ -e $dir.$number ]]; do number=$((number + 1)); done
  mv "$dir" "$dir.$number"
  echo "The earlier quickstart is now $dir.$number"
fi
if [[ -f $dir/arguments && $(<"$dir/arguments") != "$arguments" ]]; then
  usage_error "$dir holds a quickstart with $(<"$dir/arguments"), not with $arguments: use --fresh, or another --dir"
elif [[ ! -f $dir/arguments && -n $(ls -A "$dir" 2>/dev/null) ]]; then
  usage_error "$dir is not empty and holds no quickstart: choose another --dir"
fi
mkdir -p "$dir/logs"
echo "$arguments" >"$dir/arguments"

# ---- Phases with their log files ---------------------------------------------------------------------
log=
begin() { log=$dir/logs/$1.log; phase "$2"; }
at_exit() {
  local status=$?
  if ((status == 6)); then
    echo "Stopped, and the training is saved: the same command goes on."
  elif ((status != 0)) && [[ -n $log ]]; then
    echo "quickstart.sh: the phase \"${phase_titles[-1]}\" failed with exit status $status; what it said is in $log" >&2
  fi
}
trap at_exit EXIT
trap ':' INT      # the program of the phase handles Ctrl-C; its exit status ends this script
logged() { "$@" 2>&1 | tee -i -a "$log"; }
quiet() { "$@" >>"$log" 2>&1; }

a48=build/a48
report=(python3 scripts/quickstart_report.py)

begin setup "Set-up"
logged scripts/setup.sh

begin build "Build (10 to 20 minutes the first time on 2 cores)"
logged scripts/build.sh a48 a48-run

begin text "Text"
if [[ ${#texts[@]} -eq 0 ]]; then
  command -v bible >/dev/null || no_bible
  # One verse a line, "Ge1:1 In the beginning …": the reference goes, a line %% stands between chapters.
  if [[ ! -s $dir/kjv.txt ]]; then
    bible -f gen1:1-rev22:21 2>>"$log" | awk '
      !match($0, /^[1-3]?[A-Za-z]+[0-9]+:[0-9]+ /) { print "line " NR " has no reference: " $0; bad = 1; exit 1 }
      { chapter = substr($0, 1, index($0, ":") - 1)
        if (NR > 1 && chapter != last) print "%%"
        last = chapter
        print substr($0, RLENGTH + 1) }
      END { if (!bad && NR != 31102) { print NR " verses, not 31102"; exit 1 } }' >"$dir/kjv.part" ||
      { tail -1 "$dir/kjv.part" | tee -a "$log" >&2; exit 3; }
    mv "$dir/kjv.part" "$dir/kjv.txt"
  fi
  logged echo "King James Bible: $(grep -cvx %% "$dir/kjv.txt") verses in $(($(grep -cx %% "$dir/kjv.txt") + 1)) chapters, $(stat -c %s "$dir/kjv.txt") bytes"
  texts=("$dir/kjv.txt")
  prepare_options=(--split %%)
else
  logged wc -c "${texts[@]}"
  prepare_options=()
fi
if compgen -G "$dir/data/*.json" >/dev/null; then
  logged echo "Token shards are in $dir/data already."
else
  logged "$a48" prepare --out "$dir/data" --vocab-size "$vocab" "${prepare_options[@]}" "${texts[@]}"
fi

begin timing "Steps that fit into $minutes minutes"
if [[ ! -s $dir/config.json ]]; then
  quiet "${report[@]}" config --data "$dir/data" --vocab-size "$vocab" --steps 20 --run "$dir/timing" --out "$dir/timing.json" "${texts[@]}"
  quiet "$a48" train "$dir/timing.json" --fresh
  logged "${report[@]}" config --data "$dir/data" --vocab-size "$vocab" --minutes "$minutes" --timing "$dir/timing" \
    --run "$dir/run" --out "$dir/config.json" "${texts[@]}"
  rm -rf "$dir/timing" "$dir"/timing.[0-9]* "$dir/timing.json"
else
  logged echo "The configuration is in $dir/config.json already."
fi

begin train "Training: stage 1 with 8-bit activations, stage 2 with 4-bit and sparse ones"
logged "$a48" train "$dir/config.json"

begin eval "Evaluation on the validation text: as staged, then with other activations"
for mode in staged a8 a16; do
  result=$dir/eval-$mode.json
  if [[ ! -s $result || $result -ot $dir/run/checkpoints/latest ]]; then
    select=()
    [[ $mode == staged ]] || select=(--mode "$mode")
    "$a48" eval "$dir/run" --data "$dir/data" --json "${select[@]}" >"$result.part" 2>>"$log"
    mv "$result.part" "$result"
  fi
done
logged "${report[@]}" tables "$dir/eval-staged.json" "$dir/eval-a8.json" "$dir/eval-a16.json"

begin plot "Loss curve"
logged python3 scripts/plot_run.py "$dir/run" -o "$dir/loss.svg" --title "BitNet a4.8, quickstart: loss of both stages"

begin samples "Samples"
rm -f "$dir/samples.txt"
"${report[@]}" prompts "$dir/config.json" | while IFS= read -r prompt; do
  "$a48" generate "$dir/run" --prompt="$prompt" --max-tokens 96 --temperature 0.7 --top-p 0.95 --seed 1 2>>"$log" </dev/null |
    { sed 's/^/  /'; printf '\n\n'; } | tee -a "$dir/samples.txt"
done

begin packed "Packed model: two bits a weight, run without LibTorch"
packed=$dir/model.a48
[[ -s $packed && ! $packed -ot $dir/run/checkpoints/latest ]] || quiet "$a48" export "$dir/run" --out "$packed"
prompts=$("${report[@]}" prompts "$dir/config.json")
speed=(--prompt="${prompts%%$'\n'*}" --max-tokens 128 --temperature 0.7 --top-p 0.95 --seed 1 --json)
"$a48" generate "$dir/run" "${speed[@]}" >"$dir/speed-run.json" 2>>"$log" </dev/null
build/a48-run generate "$packed" "${speed[@]}" >"$dir/speed-packed.json" 2>>"$log" </dev/null
logged "${report[@]}" speeds "$dir/run" "$dir/speed-run.json" "$packed" "$dir/speed-packed.json"

log=
phases_done
cat <<END

The model      $dir/run           (a48 generate, a48 eval, a48 inspect take this folder)
Packed model   $packed     (build/a48-run generate, eval, inspect, bench)
Loss curve     $dir/loss.svg
Samples        $dir/samples.txt
Configuration  $dir/config.json   ($a48 train $dir/config.json goes on with it)

More text from it:  $a48 generate $dir/run --prompt 'In the beginning' --temperature 0.7
END
