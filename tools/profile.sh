#!/usr/bin/env bash
# Profiles a program on the GPU.
#   tools/profile.sh nsys PROGRAM ARGUMENTS...                   a timeline, and the kernels that took longest
#   tools/profile.sh ncu [--kernel REGEX] [--launches N] PROGRAM ARGUMENTS...
#                                                                what bounds each kernel: throughputs, memory, stalls
# Reports go to profiles/ (EARMARK_PROFILES: another folder). docs/gpu/profiling.md says what to look at.
#   tools/profile.sh ncu --kernel backward_kernel build/gpu/bin/cuda_benchmark --filter attention/backward --repetitions 1
set -euo pipefail

usage() {
  sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

fail() {
  echo "profile: $1" >&2
  exit 1
}

[[ $# -ge 2 ]] || usage
tool=$1
shift
kernel=""
launches=20
case $tool in
  nsys) ;;
  ncu)
    while [[ ${1:-} == --* ]]; do
      case $1 in
        --kernel) kernel=${2:?--kernel needs a regular expression} ;;
        --launches) launches=${2:?--launches needs a number} ;;
        *) usage ;;
      esac
      shift 2
    done
    ;;
  *) usage ;;
esac
[[ $# -ge 1 ]] || usage
[[ $launches =~ ^[1-9][0-9]*$ ]] || fail "--launches: expected a whole number above 0, got $launches"

package=$([[ $tool == nsys ]] && echo nsight-systems || echo nsight-compute)
command -v "$tool" >/dev/null || fail "$tool is not on PATH: it comes with NVIDIA's package $package"
command -v "$1" >/dev/null || fail "$1: no such program; build the preset 'cuda' first"

out=${EARMARK_PROFILES:-profiles}
mkdir -p "$out"
report=$out/$(basename "$1")-$(date +%Y%m%d-%H%M%S)

if [[ $tool == nsys ]]; then
  nsys profile --trace=cuda,nvtx,cublas,cudnn --cuda-memory-usage=true --force-overwrite=true --output="$report" "$@"
  nsys stats --report cuda_gpu_kern_sum --report cuda_gpu_mem_time_sum "$report.nsys-rep"
  echo "timeline: $report.nsys-rep"
else
  filter=()
  [[ -z $kernel ]] || filter=(--kernel-name-base demangled --kernel-name "regex:$kernel")
  ncu --section SpeedOfLight --section MemoryWorkloadAnalysis --section WarpStateStats --section Occupancy \
    --import-source yes --target-processes all --launch-count "$launches" "${filter[@]}" --force-overwrite \
    --export "$report" "$@"
  ncu --import "$report.ncu-rep" --print-summary per-kernel
  echo "report: $report.ncu-rep"
fi
