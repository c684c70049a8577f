#!/usr/bin/env bash
# Fetches freely licensed music and speech from Debian's packages, without root: apt-get download and dpkg -x.
#   tools/fetch_music.sh [--more] DIR
# makes
#   DIR/train          music to train on (7 h)
#   DIR/more           with --more: music of other games to train on (17 h; 2.7 GB are fetched for it)
#   DIR/test           music that is never trained on: the test database (4 h)
#   DIR/speech/train   speech for babble noise; and another half for
#   DIR/speech/test    the test queries
#   DIR/CREDITS.md, DIR/credits/   whose work it is, and under which licence
# What is there already is kept: interrupted, it goes on with the package it was at.
set -euo pipefail

usage() {
  echo "usage: $0 [--more] DIR" >&2
  exit 2
}
more=0
if [[ ${1-} == --more ]]; then
  more=1
  shift
fi
[[ $# -eq 1 && $1 != -* ]] || usage
mkdir -p "$1"
root=$(cd "$1" && pwd)

# Package (alternatives of other releases after |), part, and the folder inside it that holds the sound.
packages=(
  "asterisk-core-sounds-en-wav speech usr/share/asterisk/sounds"
  "hyperrogue-music train usr/share/hyperrogue"
  "drascula-music train usr/share/scummvm/drascula"
  "planetblupi-music-ogg train usr/share/planetblupi/music"
  "nexuiz-music train usr/share/games/nexuiz/data"
  "wesnoth-1.16-music|wesnoth-1.18-music|wesnoth-1.14-music train usr/share/games/wesnoth"
  "ufoai-music test usr/share/games/ufoai/base"
)
if [[ $more -eq 1 ]]; then
  packages+=(
    "asc-music more usr/share/games/asc/music"
    "fillets-ng-data more usr/share/games/fillets-ng/music"
    "flare-game more usr/share/games/flare/mods/fantasycore/music"
    "freedroidrpg-data more usr/share/freedroidrpg/data/sound/music"
    "hedgewars-data more usr/share/games/hedgewars/Data/Music"
    "marsshooter-data more usr/share/games/marsshooter/audio/music"
    "naev-data more usr/share/naev/dat/snd/music"
    "singularity-music more usr/share/games/singularity/music"
    "supertux-data more usr/share/games/supertux2/music"
    "supertuxkart-data more usr/share/games/supertuxkart/data/music"
    "trackballs-data more usr/share/games/trackballs/music"
    "unknown-horizons more usr/share/unknown-horizons/content/audio/music"
    "warzone2100-music more usr/share/games/warzone2100/music"
    "widelands-data more usr/share/games/widelands/data/music"
  )
fi

work=$root/.fetch
mkdir -p "$work" "$root/credits"

fail() {
  echo "fetch_music: $*" >&2
  exit 1
}

# apt's own lists where they know the package, else lists of our own, which need no root.
apt_options=()
known() { apt-cache "${apt_options[@]}" show "$1" >/dev/null 2>&1; }
use_own_lists() {
  mkdir -p "$work/lists/partial" "$work/cache"
  apt_options=(-o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Debug::NoLocking=1"
    -o "APT::Sandbox::User=$(id -un)")
  echo "fetching the list of packages"
  apt-get "${apt_options[@]}" update -qq || return 1
}

available() {
  local name
  for name in ${1//|/ }; do
    if known "$name"; then
      echo "$name"
      return 0
    fi
  done
  return 1
}

# The newest file in the package's own words; apt compares its checksum with the signed list.
download() {
  local try
  for try in 1 2 3; do
    if (cd "$work/deb" && apt-get "${apt_options[@]}" -o "APT::Sandbox::User=$(id -un)" -qq download "$1"); then
      return 0
    fi
    echo "fetch_music: $1: download failed (try $try of 3)" >&2
    sleep $((2 * try))
  done
  return 1
}

# A .pk3 is a zip file.
unzip_to() {
  if command -v unzip >/dev/null; then
    unzip -q -o "$1" -d "$2"
  elif command -v python3 >/dev/null; then
    python3 -m zipfile -e "$1" "$2"
  elif command -v bsdtar >/dev/null; then
    bsdtar -xf "$1" -C "$2"
  else
    fail "to unpack $1, one of unzip, python3 or bsdtar is needed"
  fi
}

is_sound=(-iname '*.ogg' -o -iname '*.opus' -o -iname '*.mp3' -o -iname '*.wav' -o -iname '*.flac')
sounds_in() { find "$1" -type f \( "${is_sound[@]}" \); }

# Speech goes to the two halves in turn.
split_speech() {
  local file half="train"
  while IFS= read -r file; do
    mkdir -p "$root/speech/$half"
    mv "$file" "$root/speech/$half/$(basename "$(dirname "$file")")-$(basename "$file")"
    if [[ $half == "train" ]]; then half="test"; else half="train"; fi
  done < <(sounds_in "$1" | LC_ALL=C sort)
}

place() {
  local name=$1 part=$2 from=$3
  case $part in
    speech)
      rm -rf "$root/speech"
      split_speech "$from"
      ;;
    test)
      rm -rf "$root/test"
      mv "$from" "$root/test"
      ;;
    train | more)
      mkdir -p "$root/$part"
      rm -rf "${root:?}/$part/$name"
      mv "$from" "$root/$part/$name"
      ;;
  esac
}

unpack() {
  local name=$1 part=$2 inside=$3 deb=$4
  local tree=$work/tree pk3 version
  rm -rf "$tree"
  mkdir -p "$tree/sound"
  dpkg -x "$deb" "$tree/files" || return 1
  while IFS= read -r pk3; do
    unzip_to "$pk3" "$tree/sound" || return 1
  done < <(find "$tree/files/$inside" -name '*.pk3')
  if [[ -z $(sounds_in "$tree/sound" | head -n 1) ]]; then
    rmdir "$tree/sound"
    mv "$tree/files/$inside" "$tree/sound"
  fi
  # Sound only, and each once: some packages link the same file from several folders.
  find "$tree/sound" \( -type l -o -type f ! \( "${is_sound[@]}" \) \) -delete
  # Of what is there for its variety, whole pieces: no jingles.
  [[ $part != more ]] || find "$tree/sound" -type f -size -600k -delete
  find "$tree/sound" -mindepth 1 -type d -empty -delete
  [[ -n $(sounds_in "$tree/sound" | head -n 1) ]] || return 1
  cp "$tree/files/usr/share/doc/$name/copyright" "$root/credits/$name.copyright"
  version=$(dpkg-deb -f "$deb" Version)
  echo "$name $version, $(sounds_in "$tree/sound" | wc -l) files" >"$work/$name.version"
  place "$name" "$part" "$tree/sound"
  rm -rf "$tree"
}

fetch() {
  local names=$1 part=$2 inside=$3 name deb
  for name in ${names//|/ }; do
    [[ ! -e $work/$name.done ]] || return 0
  done
  name=$(available "$names") || {
    echo "fetch_music: this system's package lists have no ${names//|/ or }" >&2
    return 1
  }
  echo "fetching $name"
  rm -rf "$work/deb"
  mkdir -p "$work/deb"
  download "$name" || return 1
  deb=$(find "$work/deb" -name '*.deb' | head -n 1)
  unpack "$name" "$part" "$inside" "$deb" || {
    echo "fetch_music: $name: no sound could be unpacked" >&2
    return 1
  }
  rm -rf "$work/deb"
  touch "$work/$name.done"
}

write_credits() {
  local file name
  {
    echo "# Credits"
    echo
    echo "Music and speech from Debian's packages. Each package's copyright file names the authors and the licences in"
    echo "full; this is their short form."
    for file in "$root"/credits/*.copyright; do
      name=$(basename "$file" .copyright)
      echo
      echo "## $(cat "$work/$name.version" 2>/dev/null || echo "$name")"
      grep -hE '^(Copyright|License|Upstream-Contact|Source):' "$file" | LC_ALL=C sort -u | sed 's/^/- /' || true
      echo "- in full: credits/$name.copyright"
    done
  } >"$root/CREDITS.md.new"
  mv "$root/CREDITS.md.new" "$root/CREDITS.md"
}

main() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    fail "this needs Debian or Ubuntu (apt-get, dpkg); give a music folder of your own instead: ./demo --music DIR"
  fi
  local entry names part inside missing=0 todo=0
  for entry in "${packages[@]}"; do
    read -r names part inside <<<"$entry"
    [[ -n $(for n in ${names//|/ }; do [[ ! -e $work/$n.done ]] || echo yes; done) ]] || todo=1
  done
  if [[ $todo -eq 1 ]]; then
    for entry in "${packages[@]}"; do
      read -r names part inside <<<"$entry"
      available "$names" >/dev/null || missing=1
    done
    if [[ $missing -eq 1 ]]; then
      use_own_lists || fail "the list of packages cannot be fetched: is there a network?"
    fi
    for entry in "${packages[@]}"; do
      read -r names part inside <<<"$entry"
      fetch "$names" "$part" "$inside" || [[ $part == train || $part == more ]] || fail "${names} is needed and could not be fetched"
    done
    [[ -n $(find "$root/train" -type f 2>/dev/null | head -n 1) ]] || fail "no music to train on could be fetched"
    write_credits
    rm -rf "$work/lists" "$work/cache" "$work/tree" "$work/deb"
  fi
  [[ ! -d $root/more ]] || echo "more music: $(sounds_in "$root/more" | wc -l) files"
  echo "music to train on: $(sounds_in "$root/train" | wc -l) files; test database: $(sounds_in "$root/test" | wc -l);" \
    "speech: $(sounds_in "$root/speech" | wc -l) ($(du -sh "$root" | cut -f1)); credits in $root/CREDITS.md"
}

main
