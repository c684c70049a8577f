// Every operation case on the GPU, in float and, where it may be, in bf16: against the CPU in double, with at most
// twice the error of the CPU in the same type.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

/// The value and every input's gradient, in order, brought to the CPU in double.
std::vector<Tensor> results(const OpCase& c, DType dtype, Device device) {
  const std::vector<Variable> inputs = make_inputs(c, c.inputs, dtype, 7, device);
  const Variable out = c.build(inputs);
  EXPECT_EQ(out.value().device(), device);
  std::vector<Tensor> all{out.value().to(Device{}).to(DType::f64)};
  out.backward(draw(out.shape(), Domain::normal, dtype, 8, 99).to(device));
  for (const Variable& input : inputs) {
    EXPECT_EQ(input.grad().device(), device);
    all.push_back(input.grad().to(Device{}).to(DType::f64));
  }
  return all;
}

/// Euclidean distance.
double distance(const Tensor& a, const Tensor& b) {
  double square = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    square += std::pow(a.data<double>()[i] - b.data<double>()[i], 2);
  }
  return std::sqrt(square);
}

double length(const Tensor& t) { return distance(t, zeros_like(t)); }

class OnTheGpu : public GpuTestWithParam<OpCase> {};

TEST_P(OnTheGpu, ErrsAtMostTwiceAsMuchAsTheCpu) {
  constexpr double kFloor = 1e-7;  // of the result's length: about one unit in the last place
  const OpCase& c = GetParam();
  const std::vector<Tensor> exact = results(c, DType::f64, {});
  const std::vector<Tensor> cpu = results(c, DType::f32, {});
  const std::vector<Tensor> gpu = results(c, DType::f32, kGpu);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(gpu[i].shape(), exact[i].shape());
    EXPECT_LE(distance(gpu[i], exact[i]), 2 * distance(cpu[i], exact[i]) + kFloor * (1 + length(exact[i])))
        << (i == 0 ? "value" : "gradient of input ") << i;
  }
}

/// With maps stored in bf16: against the same numbers in double.
class InBf16OnTheGpu : public GpuTestWithParam<OpCase> {};

TEST_P(InBf16OnTheGpu, ErrsAtMostTwiceAsMuchAsTheCpu) {
  constexpr double kFloor = 1e-6;  // of the result's length; what is not stored in bf16 is as good as in float
  const OpCase& c = GetParam();
  const std::vector<Tensor> exact = bf16_results(c, true);
  const std::vector<Tensor> cpu = bf16_results(c, false);
  const std::vector<Tensor> gpu = bf16_results(c, false, kGpu);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(gpu[i].shape(), exact[i].shape());
    EXPECT_LE(distance(gpu[i], exact[i]), 2 * distance(cpu[i], exact[i]) + kFloor * (1 + length(exact[i])))
        << (i == 0 ? "value" : "gradient of input ") << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, InBf16OnTheGpu, ::testing::ValuesIn(bf16_op_cases()),
                         [](const auto& param) { return test_name(param.param); });

INSTANTIATE_TEST_SUITE_P(Ops, OnTheGpu, ::testing::ValuesIn(op_cases()),
                         [](const auto& param) { return test_name(param.param); });

}  // namespace
}  // namespace earmark::testing
