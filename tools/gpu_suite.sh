#!/usr/bin/env bash
# What a machine with a GPU has to say about Earmark, in one command of at most eight minutes: builds for the card, runs
# the tests on it, trains beside the CPU, times every kernel against the card's own limits and PyTorch, and searches a
# million fingerprints. Writes docs/gpu/<card>.md, with commit, card, driver and toolkit.
#   tools/gpu_suite.sh             exit code 0: every step passed; 1: one failed (the report says which), or no GPU here
#   tools/gpu_suite.sh --rehearse  the same steps in small on the simulator; the report is build/rehearsal.md
# EARMARK_SUITE_PRESET names another preset to build.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  "")
    rehearse=no
    preset=${EARMARK_SUITE_PRESET:-cuda}
    build=build/gpu
    budget=480
    if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then
      echo "gpu_suite: there is no GPU here (nvidia-smi lists none): nothing was run, and no report was written" >&2
      exit 1
    fi
    card=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
    report=docs/gpu/$(tr '[:upper:] ' '[:lower:]-' <<<"$card" | tr -cd 'a-z0-9-').md
    ;;
  --rehearse)
    rehearse=yes
    preset=${EARMARK_SUITE_PRESET:-cuda-sim}
    if [[ $preset != cuda-sim* ]]; then
      echo "gpu_suite: --rehearse is for the simulator's presets, not for '$preset'" >&2
      exit 2
    fi
    build=build/$preset
    budget=3600
    card="the simulator (a rehearsal: its times mean nothing)"
    driver=none
    report=build/rehearsal.md
    ;;
  *)
    echo "usage: $0 [--rehearse]" >&2
    exit 2
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SUITE_PRESET=$preset SUITE_BUILD=$build SUITE_WORK=$work SUITE_REHEARSE=$rehearse
failed=()
mkdir -p "$(dirname "$report")"

say() { printf '%s\n' "$@" >>"$report"; }

# step TITLE SECONDS STEP: runs tools/gpu_steps.sh STEP for at most so long, and adds what it says to the report.
step() {
  local title=$1 seconds=$2 began=$SECONDS status=0 output=$work/output left=$((budget - SECONDS))
  [[ $rehearse == no ]] || seconds=$((10 * seconds)) # two processors instead of a GPU
  [[ $seconds -lt $left ]] || seconds=$((left > 1 ? left : 1))
  printf '== %s\n' "$title"
  timeout --kill-after=10 "$seconds" tools/gpu_steps.sh "$3" >"$output" 2>&1 || status=$?
  say "" "## $title" ""
  case $status in
    0) say "Passed, in $((SECONDS - began)) s." ;;
    77)
      say "Not run: $(tail -n 1 "$output")."
      return
      ;;
    124 | 137) say "**Failed**: not done within $seconds s." ;;
    *) say "**Failed** with exit code $status, after $((SECONDS - began)) s." ;;
  esac
  say ""
  if [[ $status -eq 0 && $3 == build ]]; then
    return
  elif [[ $status -eq 0 ]] && grep -q '^| ' "$output"; then
    grep -E '^\||^$|\.$' "$output" >>"$report"
  else
    say '```'
    tail -n "$([[ $status -eq 0 ]] && echo 12 || echo 60)" "$output" >>"$report"
    say '```'
  fi
  if [[ $status -ne 0 ]]; then
    failed+=("$title")
    tail -n 20 "$output" >&2
  fi
}

# The toolkit is the one that the build found.
toolkit() {
  local nvcc
  nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt" 2>/dev/null || true)
  if [[ -n $nvcc ]]; then "$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'; else echo none; fi
}

changed=""
git diff --quiet HEAD 2>/dev/null || changed=", with changes that are not committed"
{
  echo "# $card"
  echo
  echo "Written by \`tools/gpu_suite.sh\`, commit $(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$changed, on $(date -u +%Y-%m-%d)."
} >"$report"

# Limits that add up to the budget.
step "Build" 155 build
say "" "Driver $driver, CUDA $(toolkit), $(nproc) processors of the host."
step "Tests on the card" 60 tests
step "compute-sanitizer: memory" 35 memcheck
step "compute-sanitizer: races in shared memory" 35 racecheck
step "compute-sanitizer: barriers" 20 synccheck
step "Training, beside the CPU" 70 training
step "Training by two processes, a GPU each" 15 two_gpus
step "PyTorch's kernels" 20 pytorch
step "Kernels, against the card's own limits" 40 kernels
step "A query among a million fingerprints" 30 search_million

say "" "## In all" ""
if [[ ${#failed[@]} -eq 0 ]]; then
  say "Every step passed, in $SECONDS s."
else
  say "Failed: $(printf '%s; ' "${failed[@]}" | sed 's/; $//')."
fi
printf 'report: %s\n' "$report"
[[ ${#failed[@]} -eq 0 ]]
