// Every operation's derivative against central differences, in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/random.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

constexpr std::int64_t kMostElements = 48;  // perturbed per input, spread over it

double weighted(const OpCase& c, const std::vector<Variable>& inputs, const Tensor& weights) {
  const NoGradScope inference;
  const Variable out = c.build(inputs);
  double total = 0;
  for (std::int64_t i = 0; i < weights.numel(); ++i) {
    total += out.value().data<double>()[i] * weights.data<double>()[i];
  }
  return total;
}

/// (f(x + h) - f(x - h)) / 2h for element i of an input.
double slope(const OpCase& c, const std::vector<Variable>& inputs, const Tensor& weights, const Variable& input,
             std::int64_t i) {
  constexpr double kStep = 1e-5;
  double& x = input.value().mutable_data<double>()[i];
  const double before = x;
  x = before + kStep;
  const double above = weighted(c, inputs, weights);
  x = before - kStep;
  const double below = weighted(c, inputs, weights);
  x = before;
  return (above - below) / (2 * kStep);
}

void expect_slopes(const OpCase& c, const std::vector<Variable>& inputs, const Tensor& weights, std::size_t which) {
  const Variable& input = inputs[which];
  ASSERT_TRUE(input.grad()) << "no gradient of input " << which;
  ASSERT_EQ(input.grad().shape(), input.shape());
  const std::int64_t count = input.value().numel();
  const std::int64_t stride = std::max<std::int64_t>(1, count / kMostElements);
  for (std::int64_t i = 0; i < count; i += stride) {
    const double want = slope(c, inputs, weights, input, i);
    EXPECT_NEAR(input.grad().data<double>()[i], want, 1e-7 + 2e-6 * std::abs(want))
        << "input " << which << ", element " << i;
  }
}

class Gradient : public ::testing::TestWithParam<OpCase> {};

TEST_P(Gradient, MatchesCentralDifferences) {
  const OpCase& c = GetParam();
  const std::vector<Variable> inputs = make_inputs(c, c.inputs, DType::f64, 7);
  const Variable out = c.build(inputs);
  const Tensor weights = draw(out.shape(), Domain::normal, DType::f64, 8, 99);
  out.backward(weights.clone());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    expect_slopes(c, inputs, weights, i);
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Gradient, ::testing::ValuesIn(op_cases()),
                         [](const auto& param) { return test_name(param.param); });

}  // namespace
}  // namespace earmark::testing
