// Scalar functions that GCC vectorises when they are called in a loop (libm's are calls), and sums over contiguous
// memory in a fixed order. The double versions are libm's: the reference.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

inline double exponential(double x) { return std::exp(x); }
inline double exp_minus_1(double x) { return std::expm1(x); }

namespace detail {

/// 2^power * (1 + series) = exp(x), by Cody and Waite's reduction x = power * ln 2 + r, |r| <= ln(2) / 2.
struct ReducedExp {
  float power;
  float series;  // exp(r) - 1
};

inline ReducedExp reduced_exp(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, left in the lowest bits
  const float shifted = x * kLog2E + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  const float tail = 4.16666679e-2F + r * (8.33336823e-3F + r * (1.38888892e-3F + r * 1.98412698e-4F));
  const float series = r + r * r * (0.5F + r * (1.66666667e-1F + r * tail));
  return {std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127U) << 23U), series};
}

}  // namespace detail

/// exp(x) for x <= 0, without branches; below -87 it stays at exp(-87). NaN stays NaN.
inline float exponential(float x) {
  constexpr float kLowest = -87.0F;
  const auto e = detail::reduced_exp(x < kLowest ? kLowest : x);
  return e.power + e.power * e.series;
}

/// exp(x) - 1 for x <= 0, without branches. NaN stays NaN.
inline float exp_minus_1(float x) {
  constexpr float kLowest = -50.0F;  // exp(-50) is far below half an ulp of 1
  const auto e = detail::reduced_exp(x < kLowest ? kLowest : x);
  return e.power * e.series + (e.power - 1);
}

template <class T>
T sum_of_lanes(Vec<T> v) {
  T total = 0;
  for (int i = 0; i < kLanes<T>; ++i) {
    total += v[i];
  }
  return total;
}

/// Inner product of a (n) and b (n).
template <class T>
T dot(const T* a, const T* b, std::int64_t n) {
  constexpr int kWidth = kLanes<T>;
  Vec<T> even{};
  Vec<T> odd{};
  std::int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    even += load(a + i) * load(b + i);
    odd += load(a + i + kWidth) * load(b + i + kWidth);
  }
  T total = sum_of_lanes<T>(even + odd);
  for (; i < n; ++i) {
    total += a[i] * b[i];
  }
  return total;
}

/// y (n) += factor * x (n).
template <class T>
void add_scaled(T factor, const T* x, T* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] += factor * x[i];
  }
}

}  // namespace earmark::kernels::cpu
