// How far apart two tensors are, and how long one is.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace earmark::testing {

inline Tensor on_cpu(const Tensor& t) { return t.to(Device{}).to(DType::f64); }

/// Between tensors of one shape, of any type and on any device; infinite where either has a NaN.
inline double largest_difference(const Tensor& a, const Tensor& b) {
  const Tensor x = on_cpu(a);
  const Tensor y = on_cpu(b);
  EXPECT_EQ(x.shape(), y.shape());
  double largest = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double d = std::abs(x.data<double>()[i] - y.data<double>()[i]);
    largest = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(largest, d);
  }
  return largest;
}

/// Each element within `slack` of 1 and its own size; `which` of several tensors they are is said where not.
inline void expect_each_near(const Tensor& got, const Tensor& want, double slack, std::size_t which) {
  const Tensor a = on_cpu(got);
  const Tensor b = on_cpu(want);
  ASSERT_EQ(a.shape(), b.shape()) << "tensor " << which;
  for (std::int64_t i = 0; i < b.numel(); ++i) {
    ASSERT_NEAR(a.data<double>()[i], b.data<double>()[i], slack * (1 + std::abs(b.data<double>()[i])))
        << "tensor " << which << ", element " << i;
  }
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.raw(), a.raw() + a.bytes(), b.raw());
}

/// Euclidean, of a tensor in double.
inline double norm(const Tensor& t) {
  double square = 0;
  for (const double v : t.values<double>()) {
    square += v * v;
  }
  return std::sqrt(square);
}

}  // namespace earmark::testing
