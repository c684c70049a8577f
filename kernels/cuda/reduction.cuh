// Sums and maxima over a warp or a block, in a fixed order: the same bits every time.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace earmark::kernels::cuda {

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// NaN wins: a maximum that hides one would hide what went wrong before.
struct Maximum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a >= b || a != a ? a : b;
  }
};

/// Combines `value` over the 32 lanes; every lane gets the result. All lanes of the warp must call it.
template <class Op, class T>
__device__ __forceinline__ T warp_reduce(T value, Op op = {}) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value = op(value, __shfl_xor_sync(0xffffffffU, value, distance));
  }
  return value;
}

/// Combines `value` over a block of `threads` (a multiple of 32, one-dimensional); every thread gets the result. All
/// threads must call it; it may be called again at once.
template <int threads, class Op, class T>
__device__ __forceinline__ T block_reduce(T value, Op op = {}) {
  static_assert(threads % 32 == 0 && threads <= 1024);
  constexpr int kWarps = threads / 32;
  __shared__ T parts[kWarps];
  value = warp_reduce(value, op);
  if (threadIdx.x % 32 == 0) {
    parts[threadIdx.x / 32] = value;
  }
  __syncthreads();
  T total = parts[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) {
    total = op(total, parts[i]);
  }
  __syncthreads();
  return total;
}

template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  return warp_reduce<Sum>(value);
}
template <class T>
__device__ __forceinline__ T warp_max(T value) {
  return warp_reduce<Maximum>(value);
}
template <int threads, class T>
__device__ __forceinline__ T block_sum(T value) {
  return block_reduce<threads, Sum>(value);
}
template <int threads, class T>
__device__ __forceinline__ T block_max(T value) {
  return block_reduce<threads, Maximum>(value);
}

/// The mean of x (count), added in double, 16 bytes at a time where x is aligned for it.
template <int threads>
__device__ __forceinline__ float block_mean(const float* x, std::int64_t count) {
  constexpr int kWide = kVector<float>;
  const bool wide = is_aligned<kWide>(x);
  double sum = 0;
  for (std::int64_t i = kWide * static_cast<std::int64_t>(threadIdx.x); i < count; i += kWide * threads) {
    const Vector<float, kWide> values = load_some<kWide>(x, i, count, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      sum += static_cast<double>(values[k]);
    }
  }
  return static_cast<float>(block_sum<threads>(sum) / static_cast<double>(count));
}

}  // namespace earmark::kernels::cuda
