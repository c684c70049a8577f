#!/usr/bin/env bash
# The scripts around the CUDA kernels, where there is no GPU: what they say then, and that the checks can fail. PTX and
# the account of ptxas are made up here.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# expect CODE TEXT COMMAND...: the command ends with CODE and says TEXT.
expect() {
  local code=$1 text=$2 got=0 said
  shift 2
  said=$("$@" 2>&1) || got=$?
  if [[ $got -ne $code || $said != *"$text"* ]]; then
    printf '%s\n  expected exit code %s and: %s\n  got %s and: %s\n' "$*" "$code" "$text" "$got" "$said" >&2
    bad=1
  fi
}

# A driver without a GPU, and no profilers.
mkdir "$work/bin"
printf '#!/bin/sh\necho "No devices were found"\nexit 6\n' >"$work/bin/nvidia-smi"
printf '#!/bin/sh\necho "Cuda compilation tools, release 1.0, V1.0.1"\n' >"$work/bin/nvcc"
chmod +x "$work/bin/nvidia-smi" "$work/bin/nvcc"
expect 1 "gpu_suite: there is no GPU here" env "PATH=$work/bin:$PATH" tools/gpu_suite.sh
expect 2 "usage:" tools/gpu_suite.sh --fast
expect 2 "is for the simulator's presets, not for 'cuda'" env EARMARK_SUITE_PRESET=cuda tools/gpu_suite.sh --rehearse
expect 2 "tools/profile.sh nsys PROGRAM" tools/profile.sh
expect 2 "tools/profile.sh nsys PROGRAM" tools/profile.sh gprof ls
if ! command -v ncu >/dev/null; then
  expect 1 "ncu is not on PATH" tools/profile.sh ncu ls
fi

# A build whose kernels are all wide: map2_kernel<4, Add, float, float> stands for the rest.
build=$work/build
objects=$build/CMakeFiles/earmark_kernels.dir/kernels/cuda
mkdir -p "$objects"
echo "CMAKE_CUDA_COMPILER:FILEPATH=$work/bin/nvcc" >"$build/CMakeCache.txt"
kernel=_ZN7earmark7kernels4cuda12_GLOBAL__N_111some_kernelEPf
for source in kernels/cuda/*.cu; do
  stem=$(basename "$source" .cu)
  printf 'ELF\0\1//\n.version 9.0\n.target sm_90\n.visible .entry %s(\n.maxntid 64, 1, 1\n{\nld.global.f32 %%f1, [%%rd1];\nst.global.v4.f32 [%%rd1], {%%f1};\n}\n\0\2' \
    "$kernel" >"$objects/$stem.cu.o"
  : >"$objects/$stem.cu.o.ptxas"
done
account() {
  cat <<TEXT
ptxas info    : Compiling entry function '$kernel' for 'sm_90'
ptxas info    : Function properties for $kernel
    $1 bytes stack frame, $2 bytes spill stores, $2 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 400 bytes smem
TEXT
}
export EARMARK_CUDA_BUILD=$build

expect 1 "residual.cu, some_kernel: in neither list" tools/check_ptx.sh
expect 1 "no kernel is 'gather limit_kernel 0 0' any more" tools/check_ptx.sh
sed -i "s/$kernel/_ZN7earmark7kernels4cuda11map2_kernelILi4ENS1_12_GLOBAL__N_17AddReluEffEEvlT0_PKT1_S6_PT2_/" "$objects/residual.cu.o"
expect 1 "map2_kernel<4, AddRelu, float, float>: 0 loads and 1 stores of 16 bytes, expected at least 2 and 1" tools/check_ptx.sh
expect 0 "some_kernel	0	1	1	0" tools/check_ptx.sh "$objects/fill.cu.o"
printf 'ELF\0\1compressed' >"$work/compressed.o"
expect 1 "compressed.o has no PTX that can be read" tools/check_ptx.sh "$work/compressed.o"

account 0 0 >"$objects/fill.cu.o.ptxas"
expect 0 "is of CUDA" tools/kernel_resources.sh --check # another toolkit: registers are not compared
account 8 4 >"$objects/fill.cu.o.ptxas"
expect 1 "fill.cu: some_kernel on sm_90 has 8 bytes of local memory, 4 spilled" tools/kernel_resources.sh --check
account 0 0 >"$objects/fill.cu.o.ptxas"
release=$(sed -n 's/.*ptxas (CUDA \([0-9.]*\)).*/\1/p' docs/gpu/kernels.md)
sed -i "s/release 1.0/release $release/" "$work/bin/nvcc"
expect 1 "+| \`some_kernel\` | 64 | 32 | 400 | 100 |" tools/kernel_resources.sh --check
rm "$objects/fill.cu.o.ptxas"
expect 1 "build the preset 'cuda' first" tools/kernel_resources.sh --check

# The launcher keeps what ptxas says beside the object, passes on the rest, and ends as the compiler did.
printf '#!/bin/sh\necho "ptxas info    : Used 9 registers" >&2\necho "a warning" >&2\nexit 3\n' >"$work/bin/compiler"
chmod +x "$work/bin/compiler"
expect 3 "a warning" tools/record_ptxas.sh "$work/bin/compiler" -o "$work/x.o"
expect 0 "Used 9 registers" cat "$work/x.o.ptxas"

exit "$bad"
