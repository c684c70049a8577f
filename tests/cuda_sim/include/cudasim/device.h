// CUDA C++ for a C++ compiler: what nvcc has built in.
#pragma once

#include <cuda_runtime_api.h>

#undef __global__
#undef __shared__
#undef __launch_bounds__
#define __global__
// One OS thread runs a block, so a thread's variables are a block's: static ones, templates' and `extern T x[]`. They
// begin at bank 0, and all but multiples of 128 bytes have something behind them that is no variable's.
#define __shared__ thread_local __attribute__((aligned(128)))
#define __launch_bounds__(...)

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;

#include "cudasim/atomics.h"
#include "cudasim/launch.h"
#include "cudasim/mathematics.h"
#include "cudasim/warp.h"
