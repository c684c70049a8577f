#!/usr/bin/env bash
# Installs what Earmark needs from Debian's packages, and only what is missing.
#   tools/install_dependencies.sh          to build and run
#   tools/install_dependencies.sh --tests  to check it as well
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config ccache ca-certificates
  libavformat-dev libavcodec-dev libswresample-dev libavutil-dev libxxhash-dev
  libcli11-dev nlohmann-json3-dev libyaml-cpp-dev libsqlite3-dev libgloo-dev libbenchmark-dev libgtest-dev libgmock-dev
  unzip libjs-chart.js)
if [[ ${1:-} == --tests ]]; then
  packages+=(clang-format clang-tidy shellcheck git ffmpeg iproute2)
  if grep -qs '^ID=debian' /etc/os-release; then packages+=(chromium); fi # elsewhere it may be no package
elif [[ $# -gt 0 ]]; then
  echo "usage: $0 [--tests]" >&2
  exit 2
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "install_dependencies: this is not a Debian or Ubuntu system; please install: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install_dependencies: neither root nor sudo; please have these installed: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
