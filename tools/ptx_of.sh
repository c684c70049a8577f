#!/usr/bin/env bash
# The PTX that lies in object files of nvcc, which must not be compressed (--no-compress); text files are taken as PTX.
#   tools/ptx_of.sh FILE...
set -euo pipefail

for file in "$@"; do
  # In a fat binary it is text that ends at a null byte, behind a header.
  tr '\0' '\001' <"$file" | LC_ALL=C awk '
    BEGIN { RS = "\001" }
    (start = match($0, /(^|\n)\.version [0-9.]+\n\.target sm_/)) > 0 { print substr($0, start); found = 1 }
    END { exit !found }' || {
    echo "ptx_of: $file has no PTX that can be read: expected an object of the preset 'cuda'" >&2
    exit 1
  }
done
