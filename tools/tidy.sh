#!/usr/bin/env bash
# clang-tidy on one file of the cpu build; prints its findings only. (clang 14 knows _Float16 only with AVX512-FP16.)
# The analyser gives a function up after 40,000 states instead of 225,000: the last ones cost most and found nothing.
set -euo pipefail
analyser=(--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=40000)
output=$(clang-tidy -p build/cpu --quiet --extra-arg=-mavx512fp16 "${analyser[@]}" "$1" 2>/dev/null) || {
  printf '%s\n' "$output"
  exit 1
}
