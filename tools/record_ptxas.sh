#!/usr/bin/env bash
# Runs a compiler command and keeps what ptxas says about each kernel (-Xptxas=-v) in OBJECT.ptxas, beside the object
# file, where tools/kernel_resources.sh finds it. Everything else that the compiler says goes where it always does.
#   tools/record_ptxas.sh ccache nvcc ... -o OBJECT
set -euo pipefail

object=""
previous=""
for word in "$@"; do
  [[ $previous != -o ]] || object=$word
  previous=$word
done
if [[ $object != *.o ]]; then
  exec "$@"
fi

said=$(mktemp)
trap 'rm -f "$said"' EXIT
status=0
"$@" 2>"$said" || status=$?
account='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -E "$account" "$said" >"$object.ptxas" || true
grep -vE "$account" "$said" >&2 || true
exit "$status"
