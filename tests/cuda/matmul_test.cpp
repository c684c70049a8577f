// What the op cases leave out: accumulation, double, and empty extents.
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuMatmul : public GpuTest {};

Tensor product(std::int64_t depth, DType dtype, Device device, bool accumulate) {
  const Tensor a = draw({depth, 5}, Domain::normal, dtype, 1).to(device);
  const Tensor b = draw({9, depth}, Domain::normal, dtype, 2).to(device);
  const Tensor out = Tensor::full({5, 9}, 0.25, dtype, device);
  kernels::matmul({.a = a, .b = b, .out = out, .transpose_a = true, .transpose_b = true, .accumulate = accumulate});
  return out.to(Device{}).to(DType::f64);
}

TEST_F(GpuMatmul, AddsToTheResultInFloatAndDouble) {
  for (const std::int64_t depth : {0, 1, 37}) {
    for (const bool accumulate : {false, true}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor want = product(depth, dtype, {}, accumulate);
        const Tensor got = product(depth, dtype, kGpu, accumulate);
        for (std::int64_t i = 0; i < want.numel(); ++i) {
          EXPECT_NEAR(got.data<double>()[i], want.data<double>()[i], dtype == DType::f32 ? 1e-5 : 1e-13)
              << "depth " << depth << ", element " << i;
        }
      }
    }
  }
}

TEST_F(GpuMatmul, NothingByNothing) {
  const Tensor out({0, 4}, DType::f32, kGpu);
  kernels::matmul({.a = Tensor({0, 3}, DType::f32, kGpu), .b = Tensor({3, 4}, DType::f32, kGpu), .out = out});
  EXPECT_EQ(out.to(Device{}).numel(), 0);
}

}  // namespace
}  // namespace earmark::testing
