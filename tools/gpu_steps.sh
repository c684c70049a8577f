#!/usr/bin/env bash
# One step of tools/gpu_suite.sh, which says in the environment what to build where and how large everything is:
#   SUITE_PRESET SUITE_BUILD SUITE_WORK SUITE_REHEARSE=yes|no  tools/gpu_steps.sh STEP
# Exit code 77: what the step needs is not on this machine; the last line of output says what.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/$SUITE_BUILD/bin
work=$SUITE_WORK
peers=$work/peers

# size FULL SMALL: the one that this run wants.
size() { if [[ $SUITE_REHEARSE == yes ]]; then echo "$2"; else echo "$1"; fi; }

needs() {
  command -v "$1" >/dev/null && return
  echo "$1 is not installed"
  exit 77
}

build() {
  local settings=()
  [[ $SUITE_REHEARSE == yes ]] || settings+=(-B "$SUITE_BUILD" -DCMAKE_CUDA_ARCHITECTURES=native)
  cmake --preset "$SUITE_PRESET" "${settings[@]}"
  cmake --build "$SUITE_BUILD" --target cuda_tests cuda_benchmark train launch index search compose bench
}

tests() { "$bin/cuda_tests" --gtest_brief=1 --gtest_filter="$(size '*' '*GpuReduce*:*GpuPermute*:*residual*')"; }

# The sanitizer makes every kernel a hundred times slower: small cases only.
sanitize() {
  needs compute-sanitizer
  compute-sanitizer --tool "$1" --error-exitcode 1 "$bin/cuda_tests" --gtest_brief=1 --gtest_filter="$2"
}
memcheck() { sanitize memcheck '*OnTheGpu*:*Optimizer*:*Lamb*:*Hash*:*Vote*:*Score*:*InnerProduct*:*Gather*:*Reverb*:*Mix*'; }
# Kernels with shared memory, whose threads wait for each other.
readonly with_barriers='*attention*:*nt_xent*:*batch_norm*:*layer_norm*:*GpuLamb*:*grouped*:*GpuReduce*:*GpuPermute*:*GpuInnerProduct*:*GpuGather*:*GpuVote*:*GpuSegments*'
racecheck() { sanitize racecheck "$with_barriers"; }
synccheck() { sanitize synccheck "$with_barriers"; }

# train_on DEVICE PRECISION [PROCESSES]
train_on() {
  local launcher=() run=$work/run-$1-$2
  [[ $# -lt 3 ]] || launcher=("$bin/launch" --nproc-per-node "$3") run=$run-$3${4:+-short}
  "${launcher[@]}" "$bin/train" configs/demo.yaml --device "$1" --out "$run" --set "data.music=$work/music" \
    --set "data.store=$work/pcm" --set data.rooms=4 --set validation.tracks=0 --set "train.steps=$(size 200 3)" \
    --set "pairs.count=$(size 64 4)" --set "encoder.width=$(size 8 4)" --set "train.precision=$2" "${@:4}"
}

# All runs draw the same batches from the seed. In fp32 the first losses on the GPU must be the CPU's to rounding; later
# ones drift apart, as any two roundings do, and coarser ones at once, but their means must not.
beside_the_cpu() {
  paste -d, <(cut -d, -f1,2 "$work/run-cpu-fp32/log.csv") <(cut -d, -f2 "$work/run-cuda-$1/log.csv") |
    awk -F, -v precision="$1" '
    NR == 1 { next }
    {
      difference = $2 > $3 ? $2 - $3 : $3 - $2
      if ($1 <= 10 && difference > first) first = difference
      cpu += $2; gpu += $3; ++steps
    }
    END {
      if (!steps) exit 1
      printf "%d steps in %s: losses differ by at most %.2g in the first ten; their mean is %.5f on the GPU, %.5f on the CPU in fp32.\n",
        steps, precision, first, gpu / steps, cpu / steps
      allowed = 0.01 * (steps < 200 ? sqrt(200 / steps) : 1)  # a rehearsal has few steps: roundings average less
      exit !((precision != "fp32" || first < 1e-3) && gpu < (1 + allowed) * cpu && gpu > (1 - allowed) * cpu)
    }'
}
speed_of() { tail -n 1 "$work/run-$1/log.csv" | cut -d, -f8; }

training() {
  local precision
  "$bin/compose" "$work/music" --tracks "$(size 40 2)" --seconds "$(size 60 10)"
  train_on cpu fp32
  for precision in fp32 tf32 bf16; do
    train_on cuda "$precision"
  done
  for precision in fp32 tf32 bf16; do
    beside_the_cpu "$precision"
  done
  printf 'At the end %s segments/s on the GPU in fp32, %s in tf32, %s in bf16; %s on the CPU.\n' "$(speed_of cuda-fp32)" \
    "$(speed_of cuda-tf32)" "$(speed_of cuda-bf16)" "$(speed_of cpu-fp32)"
}

# The same batches by two processes with a GPU each: the sums of their gradients round otherwise, and nothing else. Where
# that moves a value over a ReLU's kink its gradient jumps by percents: losses are compared of steps so short that such
# jumps do not add up, as in tests/cuda/rank_programs_test.cpp; the speed is of steps as ever.
two_gpus() {
  if [[ $SUITE_REHEARSE == yes ]]; then
    export CUDASIM_DEVICES=2
  elif [[ $(nvidia-smi -L | grep -c '^GPU ') -lt 2 ]]; then
    echo "skipped, one GPU"
    exit 77
  fi
  train_on cuda fp32 2
  local ranks
  for ranks in 1 2; do
    train_on cuda fp32 "$ranks" --set train.learning_rate=2e-6 --set train.steps=10
  done
  paste -d, <(cut -d, -f1,2 "$work/run-cuda-fp32-1-short/log.csv") \
    <(cut -d, -f2 "$work/run-cuda-fp32-2-short/log.csv") |
    awk -F, '
    NR == 1 { next }
    {
      difference = ($2 > $3 ? $2 - $3 : $3 - $2) / $2
      if (difference > most) most = difference
      ++steps
    }
    END {
      printf "%d short steps: losses differ by at most %.2g of them.\n", steps, most
      exit !(steps == 10 && most < 1e-3)
    }'
  printf 'At the end %s segments/s by two, %s by one.\n' "$(speed_of cuda-fp32-2)" "$(speed_of cuda-fp32)"
}

pytorch() {
  python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null || {
    echo "python3 has no torch that sees a GPU"
    exit 77
  }
  python3 tests/bench/pytorch_kernels.py | tee "$peers"
}

kernels() {
  local options=()
  [[ ! -s $peers ]] || options+=(--peers "$peers")
  [[ $SUITE_REHEARSE == no ]] || options+=(--small --repetitions 1)
  "$bin/cuda_benchmark" "${options[@]}"
}

search_million() {
  "$bin/bench" query --help | grep -q -- --device || {
    echo "bench query does not take a device in this version"
    exit 77
  }
  # Exactly and by LSH: its log has both.
  "$bin/bench" query --device cuda --fingerprints "$(size 1000000 500)" --repetitions "$(size 20 1)" --seconds "$(size 5 1)"
}

"$@"
