// Extents beyond one tile of the products in every direction: the op cases stay within one.
#include "kernels/grouped_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::Activation;
using kernels::GroupedLinear;
using kernels::GroupedLinearBackward;

class GpuGroupedLinear : public GpuTest {};

/// The layer of one output shape, run forward and backward in a type on a device.
GroupedLinearBackward run(const Shape& x_shape, std::int64_t outputs, Activation activation, DType dtype,
                          Device device) {
  const std::int64_t groups = x_shape[1];
  const auto drawn = [&](const Shape& shape, int index) {
    return draw(shape, Domain::normal, DType::f64, 5, index).to(dtype).to(device);
  };
  const Tensor x = drawn(x_shape, 0);
  const GroupedLinear forward{x, drawn({groups, outputs, x_shape[2]}, 1), drawn({groups, outputs}, 2),
                              Tensor({x_shape[0], groups, outputs}, dtype, device), activation};
  kernels::grouped_linear(forward);
  const GroupedLinearBackward backward{forward, drawn(forward.out.shape(), 3), empty_like(x), empty_like(forward.w),
                                       empty_like(forward.b)};
  kernels::grouped_linear_backward(backward);
  return backward;
}

/// Each element of `got` within `slack` of the length of a typical element of `want`.
void expect_near(const Tensor& got, const Tensor& want, double slack, const char* what) {
  const Tensor g = got.to(Device{}).to(DType::f64);
  double square = 0;
  for (const double v : want.values<double>()) {
    square += v * v;
  }
  const double typical = std::sqrt(square / static_cast<double>(want.numel()));
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    ASSERT_NEAR(g.data<double>()[i], want.data<double>()[i], slack * typical) << what << " " << i;
  }
}

void expect_equal_to_the_cpu(const Shape& x, std::int64_t outputs, Activation activation) {
  const GroupedLinearBackward want = run(x, outputs, activation, DType::f64, {});
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double slack = dtype == DType::f32 ? 1e-5 : 1e-13;
    const GroupedLinearBackward got = run(x, outputs, activation, dtype, kGpu);
    expect_near(got.forward.out, want.forward.out, slack, "out");
    expect_near(got.dx, want.dx, slack, "dx");
    expect_near(got.dw, want.dw, slack, "dw");
    expect_near(got.db, want.db, slack, "db");
  }
}

TEST_F(GpuGroupedLinear, BeyondOneTile) {
  expect_equal_to_the_cpu({70, 3, 48}, 35, Activation::elu);
  expect_equal_to_the_cpu({65, 2, 67}, 1, Activation::none);
  expect_equal_to_the_cpu({64, 1, 32}, 66, Activation::elu);
}

TEST_F(GpuGroupedLinear, NaNComesThroughToItsOwnOutputs) {
  const Tensor x = Tensor::full({2, 2, 3}, 1);
  x.mutable_data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  const Tensor out({2, 2, 1}, DType::f32, kGpu);
  kernels::grouped_linear({x.to(kGpu), Tensor::full({2, 1, 3}, -1, DType::f32, kGpu),
                           Tensor::full({2, 1}, 1, DType::f32, kGpu), out, Activation::elu});
  const Tensor got = out.to(Device{});
  for (const int i : {0, 2, 3}) {
    EXPECT_NEAR(got.data<float>()[i], std::expm1(-2.0), 1e-6) << i;
  }
  EXPECT_TRUE(std::isnan(got.data<float>()[1]));
}

}  // namespace
}  // namespace earmark::testing
