#!/usr/bin/env bash
# A filter: mangled names of kernels, wherever they stand in a line, become short ones that stay the same from build to
# build, such as map_kernel<4, Add, float, float>.
set -euo pipefail

c++filt -p | sed -E -e 's/earmark::kernels::cuda:://g' -e 's/earmark:://g' -e 's/\(anonymous namespace\):://g' \
  -e 's/_(GLOBAL__N|INTERNAL)_[A-Za-z0-9_]*:://g'
