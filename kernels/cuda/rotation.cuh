// The pseudo-rotations of a HashFamily by a warp: element 32 * i + lane of a point is in register i of lane `lane`.
// Values are multiplied, added and subtracted in the CPU's order: every bit is the CPU's.
#pragma once

#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/hash.h"

namespace earmark::kernels::cuda {

inline constexpr int kMostDimension = 1024;  // padded: 32 registers of a lane

/// A HashFamily's numbers, and its signs (tables, functions, rotations, n) from the first table wanted on.
struct Rotations {
  const float* signs;
  std::int64_t tables;
  int functions;
  int rotations;
  int n;  // padded dimension
  int last_dimension;
  float scale;  // of a round: 1 / sqrt(n)
};

/// x = the unnormalised Hadamard transform of x: n = 32 * Registers elements, or fewer where Registers is 1. The steps
/// from n on then add the zeros behind them to the n elements, and leave what nobody reads in the other lanes. All
/// lanes of the warp must call it.
template <int Registers>
__device__ __forceinline__ void hadamard(float (&x)[Registers]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 1; half < 32; half *= 2) {
    const float sign = (lane & half) != 0 ? -1 : 1;
#pragma unroll
    for (int i = 0; i < Registers; ++i) {
      x[i] = __fmaf_rn(sign, x[i], __shfl_xor_sync(0xffffffffU, x[i], half));
    }
  }
#pragma unroll
  for (int half = 1; half < Registers; half *= 2) {
#pragma unroll
    for (int i = 0; i < Registers; ++i) {
      if ((i & half) == 0) {
        const float a = x[i];
        x[i] = a + x[i + half];
        x[i + half] = a - x[i + half];
      }
    }
  }
}

/// x turned by the rounds whose signs begin at `signs`. __fmul_rn is never joined with the sum that follows it.
template <int Registers>
__device__ __forceinline__ void rotate(float (&x)[Registers], const Rotations& r, const float* signs) {
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int round = 0; round < r.rotations; ++round) {
#pragma unroll
    for (int i = 0; i < Registers; ++i) {
      const int j = 32 * i + lane;
      x[i] = Registers > 1 || j < r.n ? __fmul_rn(x[i], signs[round * r.n + j] * r.scale) : 0;
    }
    hadamard(x);
  }
}

/// Lane `lane`'s elements of a point, zero beyond its d.
template <int Registers>
__device__ __forceinline__ void read_point(const float* point, std::int64_t d, float (&x)[Registers]) {
#pragma unroll
  for (int i = 0; i < Registers; ++i) {
    const int j = 32 * i + static_cast<int>(threadIdx.x % 32);
    x[i] = j < d ? point[j] : 0;
  }
}

/// `signs` are those of the tables wanted, on the GPU.
inline Rotations rotations_of(const HashFamily& family, const Tensor& signs) {
  const std::int64_t n = family.padded_dimension();
  check(n <= kMostDimension, "hash on a GPU: points of at most ", kMostDimension, " elements, got ", n);
  return {signs.data<float>(),
          signs.dim(0),
          family.functions,
          family.rotations,
          static_cast<int>(n),
          family.last_dimension,
          1 / std::sqrt(static_cast<float>(n))};
}

/// Calls f.operator()<Registers>() with the registers of a lane that hold n elements.
template <class F>
void with_registers(std::int64_t n, F&& f) {
  if (n <= 32) {
    f.template operator()<1>();
  } else if (n == 64) {
    f.template operator()<2>();
  } else if (n == 128) {
    f.template operator()<4>();
  } else if (n == 256) {
    f.template operator()<8>();
  } else if (n == 512) {
    f.template operator()<16>();
  } else {
    f.template operator()<32>();
  }
}

}  // namespace earmark::kernels::cuda
