#!/usr/bin/env bash
# What each kernel takes on each architecture: registers, static shared memory, local memory and spills, and how many of
# a multiprocessor's warps can then be resident. From the nvcc build's own account (tools/record_ptxas.sh) and its PTX.
#   tools/kernel_resources.sh          writes docs/gpu/kernels.md
#   tools/kernel_resources.sh --check  fails where that file says something else, and where any kernel spills
# Needs the preset `cuda` to be built.
set -euo pipefail
cd "$(dirname "$0")/.."

table=docs/gpu/kernels.md
build=${EARMARK_CUDA_BUILD:-build/cuda}
objects=$build/CMakeFiles/earmark_kernels.dir/kernels/cuda

mode="write"
case ${1:-} in
  "") ;;
  --check) mode="check" ;;
  *)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac

fail() {
  echo "kernel_resources: $1" >&2
  exit 1
}

# The compiler that the build used, as "13.0".
toolkit() {
  local nvcc
  nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
  "$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p'
}

# file, kernel (mangled), architecture, registers, shared, stack, spill stores, spill loads; tab-separated.
resources() {
  local source stem
  for source in kernels/cuda/*.cu; do
    stem=$(basename "$source")
    [[ -f $objects/$stem.o.ptxas ]] || fail "$objects/$stem.o.ptxas is missing: build the preset 'cuda' first"
    awk -v file="$stem" '
      function before(text) { return match($0, "[0-9]+ " text) ? substr($0, RSTART) + 0 : 0 }
      /Compiling entry function/ {
        split($0, quoted, "\047")
        kernel = quoted[2]; architecture = quoted[4]
      }
      /bytes stack frame/ { stack = before("bytes stack"); stores = before("bytes spill stores"); loads = before("bytes spill loads") }
      /Used [0-9]+ registers/ && kernel != "" {
        printf "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", file, kernel, architecture, before("registers"), before("bytes smem"),
          stack, stores, loads
        kernel = ""
    }' "$objects/$stem.o.ptxas"
  done
}

# file, kernel (mangled), threads of a block (0: not stated), 1 where it has dynamic shared memory; tab-separated.
launch_bounds() {
  local source stem
  for source in kernels/cuda/*.cu; do
    stem=$(basename "$source" .cu)
    [[ -f $objects/$stem.cu.o ]] || fail "$objects/$stem.cu.o is missing: build the preset 'cuda' first"
    tools/ptx_of.sh "$objects/$stem.cu.o" | awk -v file="$stem.cu" '
      function finish() { if (kernel != "") printf "%s\t%s\t%d\t%d\n", file, kernel, threads, dynamic }
      /\.entry/ {
        finish()
        kernel = $0; sub(/.*\.entry[ \t]+/, "", kernel); sub(/[^A-Za-z0-9_$].*/, "", kernel)
        threads = 0; dynamic = 0
      }
      /^\.maxntid/ { threads = 1; for (i = 2; i <= NF; ++i) threads *= $i + 0 }
      /earmark_dynamic_shared/ { if (kernel != "") dynamic = 1 }
      END { finish() }'
  done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
resources | tools/kernel_names.sh | LC_ALL=C sort -u >"$work/resources"
launch_bounds | tools/kernel_names.sh | LC_ALL=C sort -u >"$work/bounds"
[[ -s $work/resources ]] || fail "the build says nothing about its kernels: were they compiled with -Xptxas=-v?"

awk -F'\t' '$6 + $7 + $8 > 0 {
  printf "%s: %s on %s has %d bytes of local memory, %d spilled, %d read back\n", $1, $2, $3, $6, $7, $8; bad = 1
} END { exit bad }' "$work/resources" >&2 || fail "kernels must keep everything in registers or shared memory"

{
  cat <<HEAD
# What the kernels take

Written by \`tools/kernel_resources.sh\` from the account of ptxas (CUDA $(toolkit)); \`./check\` compares. No kernel has local memory or spills.
Occupancy is the share of a multiprocessor's warps that its registers and its static shared memory let be resident at the block size of
\`__launch_bounds__\`, which is that of the launch or its largest; "≤" where the launch adds dynamic shared memory, which can lower it.

Registers a thread and occupancy are those of A100 (sm_80), H100 (sm_90) and B200 (sm_100).
HEAD
  awk -F'\t' '
    function occupancy(architecture, registers, shared, threads,   warps, limit, other) {
      warps = int((threads + 31) / 32)
      limit = int(int(65536 / (int((registers * 32 + 255) / 256) * 256)) / 4) * 4 / warps
      limit = int(limit)
      other = int(64 / warps); if (other < limit) limit = other
      if (limit > 32) limit = 32
      other = int((architecture == "sm_80" ? 164 : 228) * 1024 / (shared + 1024)); if (other < limit) limit = other
      return int(100 * limit * warps / 64 + 0.5)
    }
    FNR == NR { threads[$1, $2] = $3; dynamic[$1, $2] = $4; next }
    {
      key = $1 SUBSEP $2
      if (!(key in seen)) { seen[key] = 1; keys[++count] = key }
      registers[key, $3] = $4
      shared[key] = $5 > shared[key] ? $5 : shared[key]
      share[key, $3] = threads[key] > 0 ? occupancy($3, $4, $5, threads[key]) : "?"
    }
    END {
      split("sm_80 sm_90 sm_100", architecture, " ")
      for (i = 1; i <= count; ++i) {
        split(keys[i], name, SUBSEP)
        if (name[1] != file) {
          file = name[1]
          printf "\n## %s\n\n| kernel | threads | registers | static shared | occupancy, %% |\n|---|---|---|---|---|\n", file
        }
        taken = ""; resident = ""
        for (a = 1; a <= 3; ++a) {
          if (!((keys[i], architecture[a]) in registers)) continue
          taken = taken (taken == "" ? "" : ", ") registers[keys[i], architecture[a]]
          resident = resident (resident == "" ? "" : ", ") share[keys[i], architecture[a]]
        }
        printf "| `%s` | %s | %s | %d | %s%s |\n", name[2], threads[keys[i]], taken, shared[keys[i]],
          dynamic[keys[i]] ? "≤ " : "", resident
      }
    }' "$work/bounds" "$work/resources"
} >"$work/table"

if [[ $mode == write ]]; then
  mkdir -p "$(dirname "$table")"
  cp "$work/table" "$table"
  exit 0
fi

[[ -f $table ]] || fail "$table is missing: tools/kernel_resources.sh writes it"
there=$(sed -n 's/.*ptxas (CUDA \([0-9.]*\)).*/\1/p' "$table")
if [[ $there != "$(toolkit)" ]]; then
  echo "kernel_resources: $table is of CUDA $there, this is $(toolkit): registers differ between compilers and are not compared; nothing spills"
  exit 0
fi
diff -u "$table" "$work/table" >&2 ||
  fail "kernels take something else than $table says (- there, + here). Where that is meant: tools/kernel_resources.sh, and commit the file"
