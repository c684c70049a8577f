#!/usr/bin/env bash
# The rules that kernels/cuda keeps so that one source serves nvcc and the simulator; CONTRIBUTING.md gives the reasons.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
complain() {
  echo "$1" >&2
  bad=1
}

mapfile -t files < <(git ls-files --cached --others --exclude-standard 'kernels/cuda/*')
[[ ${#files[@]} -gt 0 ]] || exit 0

# Prints "file:line: code" of all files without // comments and without what stands in quotes.
code() {
  awk '{ gsub(/"[^"]*"/, "\"\""); sub(/\/\/.*/, ""); if ($0 ~ /[^ ]/) print FILENAME ":" FNR ": " $0 }' "$@"
}

# forbid REASON REGEX [FILE THAT MAY]
forbid() {
  local line
  while read -r line; do
    complain "${line%%: *}: $1"
  done < <(code "${files[@]}" | grep -E "$2" | grep -vE "^kernels/cuda/(${3:-none}):" || true)
}

forbid "launch through launch() of kernels/cuda/launch.cuh, not <<<>>>" '<<<|>>>[[:space:]]*\('
forbid "only launch() may call cudaLaunchKernel" 'cudaLaunchKernel' 'launch\.cuh'
forbid "dynamic shared memory is reached through dynamic_shared<T>() alone" 'extern[[:space:]]+__shared__' 'launch\.cuh'
forbid "no #if in kernels: both builds compile the same code" '^[^:]*:[0-9]+: *#[[:space:]]*(if|ifdef|ifndef|elif)'
forbid "no raw assembly" '\<asm\>|__asm__'
forbid "no __device__, __managed__ or __constant__ globals: pass an argument" \
  '^[^:]*:[0-9]+: *((static|inline|constexpr|extern)[[:space:]]+)*__(device__|managed__|constant__)[^({]*(;|=|\[[^]]*\][[:space:]]*(;|=))'
forbid "warp intrinsics need the _sync form with a literal mask" \
  '\<__(shfl|shfl_up|shfl_down|shfl_xor|ballot|any|all)[[:space:]]*\(|\<__(shfl|shfl_up|shfl_down|shfl_xor|ballot|any|all|match_any|reduce_(add|min|max|and|or|xor))_sync\((0x[0-9a-fA-F]*[g-zG-TV-Z_]|[^0])'
forbid "__activemask is whatever the compiler made of the branch: write the mask" '__activemask'
forbid "no grid-wide handshakes: a second launch is the barrier between blocks" 'grid_group|this_grid|__threadfence\(|cooperative'
forbid "no spin loops" 'while[[:space:]]*\([^)]*(atomic|volatile)'
forbid "memory comes from Tensor or kernels/cuda/memory.h" '\<cuda(Malloc|Free|HostAlloc)' 'memory\.cpp'

# A return inside a kernel that has a barrier: threads that left never reach it.
returns_before_barriers() {
  code "$@" | awk '
    function report(  i) { if (barrier) for (i in returns) if (returns[i] < barrier) print places[i]; }
    {
      place = $0; sub(/: .*/, "", place)
      text = $0; sub(/^[^:]*:[0-9]+: /, "", text)
      if (!inside && text ~ /__global__/) { waiting = 1 }
      if (waiting || inside) {
        if (inside && text ~ /(^|[^A-Za-z_0-9])return[[:space:]]*;/) { n++; returns[n] = NR; places[n] = place }
        if (text ~ /__syncthreads|__syncwarp|block_(reduce|sum|max)|warp_(reduce|sum|max)|_sync\(/) { barrier = NR }
        opened = gsub(/\{/, "{", text); closed = gsub(/\}/, "}", text)
        depth += opened - closed
        if (opened) { inside = 1; waiting = 0 }
        if (inside && depth == 0) { report(); inside = 0; barrier = 0; n = 0; split("", returns); split("", places) }
        if (waiting && text ~ /;/) { waiting = 0 }
      }
    }'
}
for file in "${files[@]}"; do
  while read -r place; do
    complain "$place: no return before a barrier: threads that left never reach it"
  done < <(returns_before_barriers "$file")
  lines=$(wc -l <"$file")
  [[ $lines -le 300 ]] || complain "$file: $lines lines; at most 300"
done

exit "$bad"
