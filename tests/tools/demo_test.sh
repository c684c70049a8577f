#!/usr/bin/env bash
# `./demo` from music to tables, twice, in seconds: a collection with names of all kinds, then no network at all. And
# what it says when it is asked for what cannot be.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
complain() {
  printf 'demo_test: %s\n' "$1" >&2
  bad=1
}

# expect CODE TEXT OPTIONS...: ./demo ends with CODE and says TEXT.
said=""
expect() {
  local code=$1 text=$2 got=0
  shift 2
  said=$(env "PATH=${path:-$PATH}" ./demo "$@" 2>&1) || got=$?
  [[ $got -eq $code && $said == *"$text"* ]] ||
    complain "./demo $*: expected exit code $code and: $text; got $got and: $said"
}
contains() { [[ $said == *"$1"* ]] || complain "expected: $1; got: $said"; }
has() { grep -qF -- "$2" "$1" || complain "$1 lacks: $2"; }

# A network of width 2 in as few steps as there may be.
sed -E 's/^( +width:) .*/\1 2/; s/^( +steps:) .*/\1 4/; s/^( +warmup_steps:) .*/\1 1/; s/^( +rooms:) 200.*/\1 4/
        s/^( +queries:) .*/\1 8/; s/^( +interval:) .*/\1 4/; s/^( +tracks:) .*/\1 2/; s/^( +seconds:) .*/\1 4/
        s/^( +lengths_s:) .*/\1 [0.96, 2]/; s/^( +rooms:) 4 .*/\1 1/' configs/demo.yaml >"$work/tiny.yaml"

build/cpu/bin/compose "$work/composed" --tracks 12 --seconds 8 --seed 5 >/dev/null
odd=$' # 1: "a\\b", [c], {d}\n\r\x04\xe9' # YAML would end at, or choke on, any of these; the last byte is not UTF-8
music=$work/music$odd
own=$work/own$odd
folders=("" 'live at "home"/' "-live/" $'ends in a line break\n/' "# no comment: a folder/")
i=0
for file in "$work"/composed/*.wav; do
  names=("plain $i.wav" "it's $i.wav" $'two\nlines '"$i.wav" "-song $i.wav" $'caf\xe9 '"$i.wav")
  mkdir -p "$music/${folders[i % 5]}"
  mv "$file" "$music/${folders[i % 5]}${names[(i + i / 5) % 5]}"
  i=$((i + 1))
done
# What only a program knows to be sound: an extension that few have, none at all, a link.
build/cpu/bin/compose "$work/more" --tracks 3 --seconds 8 --seed 6 >/dev/null
more=("$work"/more/*.wav)
mv "${more[0]}" "$music/rare.W64"
mv "${more[1]}" "$music/no extension"
ln -s "${more[2]}" "$music/link.wav"
printf 'no sound' >"$music/readme"

options=(--config "$work/tiny.yaml" --queries 3)
expect 0 "Table 1." "${options[@]}" --music "$music" --out "$own"
contains "files to train on"
[[ $(find "$own/music" -type l -printf x | wc -c) -eq 15 ]] || complain "expected 15 files: $said"
contains "Table 2."
contains "Done in"
has "$own/tables.md" "paper: audfprint"
has "$own/tables.md" "landmarks (audfprint), best"
has "$own/report.html" "</html>"
build/cpu/bin/search "$own/index" "$(find "$music" -name 'plain*' -print -quit)" >/dev/null ||
  complain "the index that was left cannot be searched"
expect 0 "there already: own" "${options[@]}" --music "$music" --out "$own"
contains "there already: $own/run"
contains "cells searched, "
[[ $said == *" 0 cells searched"* ]] || complain "the second run searched again: $said"
expect 1 "was made with other music" "${options[@]}" --compose --out "$own"

# few SPLIT NUMBERS...: songs whose names' hashes would put all into one part go into both.
few() {
  local split=$1 folder=$work/few-$# i=0 number
  shift
  mkdir "$folder"
  for number in "$@"; do
    ln -s "${songs[i++]}" "$folder/song $number.wav"
  done
  expect 0 "Table 1." "${options[@]}" --music "$folder" --out "$folder-out"
  contains "$folder: $split"
}
build/cpu/bin/compose "$work/songs" --tracks 5 --seconds 8 --seed 7 >/dev/null
songs=("$work"/songs/*.wav)
few "4 files to train on, 1 to search in" 1 3 5 7 11
few "1 files to train on, 1 to search in" 2 4

# Nothing can be fetched: apt-get and apt-cache are there, and fail.
mkdir "$work/bin"
printf '#!/bin/sh\necho "could not resolve the host" >&2\nexit 100\n' >"$work/bin/apt-get"
cp "$work/bin/apt-get" "$work/bin/apt-cache"
chmod +x "$work/bin/apt-get" "$work/bin/apt-cache"
path=$work/bin:$PATH expect 0 "No music could be fetched (see above): composing some instead." \
  "${options[@]}" --quick --minutes 0.02 --out "$work/composing"
contains "a synthesiser's, not a musician's"
contains "Table 2."

expect 1 "--queries: expected a whole number above 0, got none" --queries none
expect 1 "--music: there is no folder $work/nowhere" --music "$work/nowhere"
expect 2 "unknown option --fast" --fast
mkdir "$work/empty"
expect 1 "found 0 sound files" "${options[@]}" --music "$work/empty" --out "$work/of-nothing"
cp "${songs[0]}" "$work/empty/only.wav"
expect 1 "found 1 sound files" "${options[@]}" --music "$work/empty" --out "$work/of-nothing"

exit "$bad"
