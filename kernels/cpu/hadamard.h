// Pseudo-rotation: random signs, then a fast Hadamard transform, in place on one vector whose length is a power of two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernels/cpu/lanes.h"
#include "kernels/hash.h"

namespace earmark::kernels::cpu {

/// Unnormalised: multiplies lengths by sqrt(n).
inline void hadamard(float* x, std::int64_t n) {
  for (std::int64_t half = 1; half < n; half *= 2) {
    for (std::int64_t i = 0; i < n; i += 2 * half) {
      for (std::int64_t j = i; j < i + half; ++j) {
        const float a = x[j];
        const float b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
}

/// Each lane and the one `Half` beside it become their sum and difference; then the same for the steps above.
template <int Half, int Vectors, std::size_t... Lanes>
inline void hadamard_lanes(Vec<float> (&v)[Vectors], std::index_sequence<Lanes...> lanes) {
  if constexpr (Half < static_cast<int>(sizeof...(Lanes))) {
    const Vec<float> sign = {((Lanes & Half) != 0 ? -1.0F : 1.0F)...};
    for (int i = 0; i < Vectors; ++i) {
      v[i] = __builtin_shufflevector(v[i], v[i], static_cast<int>(Lanes ^ Half)...) + sign * v[i];
    }
    hadamard_lanes<2 * Half>(v, lanes);
  }
}

/// The same for a length known when compiling, all in registers: steps below a vector's width are shuffles.
template <int N>
inline void hadamard_fixed(float* x) {
  constexpr int kLane = kLanes<float>;
  constexpr int kVectors = N / kLane;
  static_assert(N % kLane == 0);
  Vec<float> v[kVectors];
  for (int i = 0; i < kVectors; ++i) {
    v[i] = load(x + i * kLane);
  }
  hadamard_lanes<1>(v, std::make_index_sequence<kLane>());
#pragma GCC unroll 8
  for (int half = 1; half < kVectors; half *= 2) {
    for (int i = 0; i < kVectors; ++i) {
      if ((i & half) == 0) {
        const Vec<float> a = v[i];
        v[i] = a + v[i + half];
        v[i + half] = a - v[i + half];
      }
    }
  }
  for (int i = 0; i < kVectors; ++i) {
    store(x + i * kLane, v[i]);
  }
}

/// x (d) to out (padded d) by function `function` of table `table`; lengths are kept.
inline void rotate(const float* x, std::int64_t d, const HashFamily& family, std::int64_t table, std::int64_t function,
                   float* out) {
  const std::int64_t n = family.padded_dimension();
  const float* signs = family.signs.data<float>() + (table * family.functions + function) * family.rotations * n;
  std::copy_n(x, d, out);
  std::fill(out + d, out + n, 0.0F);
  for (int round = 0; round < family.rotations; ++round) {
    const float scale = 1 / std::sqrt(static_cast<float>(n));
    for (std::int64_t j = 0; j < n; ++j) {
      out[j] *= signs[round * n + j] * scale;
    }
    n == 128 ? hadamard_fixed<128>(out) : hadamard(out, n);
  }
}

/// The coordinates that function `function` looks at.
inline std::int64_t coordinates_of(const HashFamily& family, std::int64_t function) {
  return function + 1 == family.functions ? family.last_dimension : family.padded_dimension();
}

}  // namespace earmark::kernels::cpu
