// Pseudo-rotation: random signs, then a fast Hadamard transform, in place on one vector whose length is a power of two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

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

/// The same for a length known when compiling: steps below a vector's width become shuffles within registers.
template <int N>
inline void hadamard_fixed(float* x) {
#pragma GCC unroll 16
  for (int half = 1; half < N; half *= 2) {
    float y[N];
    for (int j = 0; j < N; ++j) {
      y[j] = (j & half) != 0 ? x[j ^ half] - x[j] : x[j] + x[j ^ half];
    }
    std::copy_n(y, N, x);
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
