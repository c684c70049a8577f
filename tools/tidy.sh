#!/usr/bin/env bash
# clang-tidy on files of the cpu build; prints its findings only. Several files, of one folder, are read as one: most of
# what a file costs is the headers that all of them have. (clang 14 knows _Float16 only with AVX512-FP16.)
#   tools/tidy.sh FILE...
# The analyser gives a function up after 40,000 states instead of 225,000: the last ones cost most and found nothing.
set -euo pipefail
[[ $# -gt 0 ]] || {
  echo "usage: $0 FILE..." >&2
  exit 2
}
root=$PWD
joined=$(mktemp -d)
trap 'rm -rf "$joined"' EXIT

# The flags that one file, or the joined one that includes it, is compiled with: of what a command line tells, those that
# decide what is read.
flags_of() {
  local command compiled=$root/$1
  command=$(grep -lxF "#include \"$1\"" build/joined/*/*.cpp 2>/dev/null || true)
  [[ -z $command ]] || compiled=$compiled'|'${command//$'\n'/|}
  command=$(awk -v files="$compiled" '
    BEGIN { split(files, names, "|") }
    /"command":/ { command = $0 }
    /"file":/ { for (i in names) if (index($0, names[i] "\"")) { print command; exit } }' build/cpu/compile_commands.json)
  [[ -n $command ]] || {
    echo "tidy: $1 is not in build/cpu: configure the preset cpu" >&2
    exit 1
  }
  grep -oE ' -(D|I|isystem |std=|march=|W|f)[^ ]*' <<<"${command//\\/}" | sed 's/^ //; s/^-isystem /-isystem/; /subobject-linkage/d'
}

for file in "$@"; do
  flags_of "$file"
done | sort -u >"$joined/flags"
mapfile -t flags <"$joined/flags"
# Under this name clang's analyser looks into functions of included sources, too.
for file in "$@"; do
  printf '#include "%s"  // NOLINT(bugprone-suspicious-include)\n' "$root/$file"
done >"$joined/UnifiedSource.cpp"
flags+=(-mavx512fp16 -Xclang -analyzer-config -Xclang max-nodes=40000)
output=$(clang-tidy --quiet --config-file=.clang-tidy "$joined/UnifiedSource.cpp" -- "${flags[@]}" 2>"$joined/errors") || {
  printf '%s\n' "$output"
  exit 1
}
