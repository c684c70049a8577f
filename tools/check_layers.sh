#!/usr/bin/env bash
# The include arrows of the tree: a folder includes only itself and what its row names. And the borders inside kernels:
# cpu and cuda do not know each other, and no CUDA header is included outside kernels/cuda and the simulator's tests.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
  [kernels]="kernels"
  [autograd]="autograd kernels"
  [nn]="nn autograd kernels"
  [data]="data kernels"
  [train]="train nn data autograd kernels"
  [search]="search nn data kernels"
  [experiments]="experiments train search data nn autograd kernels"
)
folders=(kernels autograd nn data train search experiments tests)
bad=0

complain() {
  echo "$1" >&2
  bad=1
}

# Prints "file:line folder" for every include of a project header in $1.
includes() {
  grep -rnoE --include='*.h' --include='*.cpp' --include='*.cu' --include='*.cuh' '^#include "[a-z_]+/' "$1" 2>/dev/null |
    sed -E 's/^([^:]+:[0-9]+):#include "([a-z_]+)\/$/\1 \2/' || true
}

for folder in "${!may[@]}"; do
  while read -r place target; do
    [[ -n $place ]] || continue
    [[ " ${folders[*]} " == *" $target "* ]] || continue
    [[ " ${may[$folder]} " == *" $target "* ]] || complain "$place: $folder must not include $target/"
  done < <(includes "$folder")
done

while read -r line; do
  complain "$line: only kernels/cuda and tests/cuda_sim may include CUDA headers"
done < <(grep -rnE --include='*.h' --include='*.cpp' '^#include <(cuda|cublas|cudnn|cufft|nccl|cub/)' . --exclude-dir=build --exclude-dir=cuda --exclude-dir=cuda_sim || true)
while read -r line; do
  complain "$line: kernels/cpu and kernels/cuda must not know each other"
done < <({ grep -rn '^#include "kernels/cuda/' kernels/cpu; grep -rn '^#include "kernels/cpu/' kernels/cuda; } 2>/dev/null || true)

exit "$bad"
