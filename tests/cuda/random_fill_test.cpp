// The same draws on both devices.
#include "kernels/random_fill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

using kernels::Distribution;

class GpuRandomFill : public GpuTest {
 protected:
  static void fill(const Tensor& out, Distribution distribution, double scale) {
    kernels::random_fill({out, distribution, scale, 0x123456789abcdef0U, 0xfedcba9876543210U});
  }
};

/// With a scale of 1 nothing is rounded in double: what differs would be bits of Philox.
TEST_F(GpuRandomFill, DrawsTheCpusBits) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    for (const std::int64_t count : {1, 2, 3, 5, 4095, 4097, 9001}) {
      const Tensor there({count}, dtype, kGpu);
      const Tensor here({count}, dtype);
      fill(there, Distribution::uniform, 1);
      fill(here, Distribution::uniform, 1);
      EXPECT_EQ(largest_difference(there, here), 0) << name_of(dtype) << ' ' << count;
    }
  }
}

/// A logarithm, a root and a cosine of doubles are each within a unit or two of the last place, so 1e-15 of a radius
/// that is below 9; a float may fall to the other side of where it is rounded.
TEST_F(GpuRandomFill, MakesTheCpusNormalNumbersOfThem) {
  constexpr double kScale = 0.5;
  const Tensor there({20001}, DType::f64, kGpu);
  const Tensor here({20001}, DType::f64);
  fill(there, Distribution::normal, kScale);
  fill(here, Distribution::normal, kScale);
  EXPECT_LT(largest_difference(there, here), 1e-14);
  const Tensor rounded({20001}, DType::f32, kGpu);
  fill(rounded, Distribution::normal, kScale);
  const Tensor floats = rounded.to(Device{});
  for (std::int64_t i = 0; i < here.numel(); ++i) {
    const double exact = here.data<double>()[i];
    EXPECT_NEAR(static_cast<double>(floats.data<float>()[i]), exact, 6e-8 * std::abs(exact) + 1e-14) << i;
  }
}

/// A slice is not aligned for 16 bytes: the same numbers, and nothing beside it is written.
TEST_F(GpuRandomFill, FillsSlicesElementByElement) {
  const Tensor whole = Tensor::full({1027}, 7, DType::f32, kGpu);
  const Tensor here({1025}, DType::f32);
  fill(whole.slice(1, 1026), Distribution::normal, 1);
  fill(here, Distribution::normal, 1);
  EXPECT_LT(largest_difference(whole.slice(1, 1026), here), 1e-6);
  EXPECT_EQ(whole.slice(0, 1).item(), 7);
  EXPECT_EQ(whole.slice(1026, 1027).item(), 7);
}

}  // namespace
}  // namespace earmark::testing
