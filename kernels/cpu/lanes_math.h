// exp and tanh on vectors: Cephes' single-precision polynomials (errors of about one unit in the last place); in double
// the C library's, lane by lane. NaN stays NaN, exp saturates to 0 and infinity.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

namespace detail {

inline Vec<float> exp_polynomial(Vec<float> x) {
  using Ints = Vec<std::int32_t>;
  constexpr float kLog2E = 1.44269504088896341F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const Vec<float> shifted = x * kLog2E + kRound;
  const Vec<float> n = shifted - kRound;
  const Vec<float> r = x - n * kLn2High - n * kLn2Low;
  Vec<float> p = broadcast(1.9875691500e-4F);
  for (const float c : {1.3981999507e-3F, 8.3334519073e-3F, 4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F}) {
    p = p * r + c;
  }
  p = p * r * r + r + 1.0F;
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * reinterpret_cast<Vec<float>>(exponent);
}

}  // namespace detail

template <class T>
inline Vec<T> exp(Vec<T> x) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float kLowest = -87.3F;
    constexpr float kHighest = 88.0F;
    const Vec<float> clamped = x < kLowest ? broadcast(kLowest) : x > kHighest ? broadcast(kHighest) : x;
    const Vec<float> y = detail::exp_polynomial(x == x ? clamped : Vec<float>{});
    const Vec<float> low = x < kLowest ? Vec<float>{} : y;
    return x == x ? low : x;
  } else {
    Vec<T> y = x;
    for (int i = 0; i < kLanes<T>; ++i) {
      y[i] = std::exp(x[i]);
    }
    return y;
  }
}

template <class T>
inline Vec<T> tanh(Vec<T> x) {
  if constexpr (std::is_same_v<T, float>) {
    const Vec<float> magnitude = x < 0 ? -x : x;
    const Vec<float> e = exp<float>(magnitude * -2.0F);
    const Vec<float> far = (1.0F - e) / (1.0F + e);
    const Vec<float> z = x * x;
    Vec<float> p = broadcast(-5.70498872745e-3F);
    for (const float c : {2.06390887954e-2F, -5.37397155531e-2F, 1.33314422036e-1F, -3.33332819422e-1F}) {
      p = p * z + c;
    }
    const Vec<float> near = p * z * x + x;
    const Vec<float> sign_far = x < 0 ? -far : far;
    return magnitude < 0.625F ? near : sign_far;
  } else {
    Vec<T> y = x;
    for (int i = 0; i < kLanes<T>; ++i) {
      y[i] = std::tanh(x[i]);
    }
    return y;
  }
}

}  // namespace earmark::kernels::cpu
