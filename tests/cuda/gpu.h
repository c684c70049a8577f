// Tests that need a GPU, real or simulated: on a machine without one they are skipped.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "kernels/cuda/memory.h"
#include "kernels/device.h"
#include "kernels/tensor.h"
#include "tests/compare_tensors.h"

namespace earmark::testing {

inline constexpr Device kGpu{Backend::cuda, 0};

/// Euclidean, between tensors of one shape on any device.
inline double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = on_cpu(a);
  const Tensor y = on_cpu(b);
  EXPECT_EQ(x.shape(), y.shape());
  double square = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    square += std::pow(x.data<double>()[i] - y.data<double>()[i], 2);
  }
  return std::sqrt(square);
}

inline double length(const Tensor& t) { return distance(t, zeros_like(t)); }

inline void skip_without_gpu() {
  std::string why;
  if (kernels::cuda::device_count(&why) == 0) {
    GTEST_SKIP() << why;
  }
}

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override { skip_without_gpu(); }
};

template <class T>
class GpuTestWithParam : public ::testing::TestWithParam<T> {
 protected:
  void SetUp() override { skip_without_gpu(); }
};

}  // namespace earmark::testing
