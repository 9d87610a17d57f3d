# shellcheck shell=bash
# Sourced by quickstart.sh, test.sh and check.sh: phases with elapsed time.
#   phase TITLE…     starts a phase and says how long the run has taken so far
#   phases_done      says how long each phase took
# SECONDS is bash's own clock; it starts at 0 with the script.

phase_titles=()
phase_starts=()

as_minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

phase() {
  phase_titles+=("$*")
  phase_starts+=("$SECONDS")
  printf '\n[%s] %s\n' "$(as_minutes "$SECONDS")" "$*"
}

phases_done() {
  local i end
  printf '\n'
  for i in "${!phase_titles[@]}"; do
    end=${phase_starts[$((i + 1))]:-$SECONDS}
    printf '  %6s  %s\n' "$(as_minutes $((end - phase_starts[i])))" "${phase_titles[$i]}"
  done
  printf '  %6s  in all (minutes:seconds)\n' "$(as_minutes "$SECONDS")"
}
