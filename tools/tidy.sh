#!/usr/bin/env bash
# clang-tidy on one file of the cpu build; prints its findings only. (clang 14 knows _Float16 only with AVX512-FP16.)
set -euo pipefail
output=$(clang-tidy -p build/cpu --quiet --extra-arg=-mavx512fp16 "$1" 2>/dev/null) || {
  printf '%s\n' "$output"
  exit 1
}
