// Operations whose maps are stored in bf16, against the same numbers in double: everything is computed in float, and
// rounded when it is stored.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "autograd/functions.h"
#include "kernels/error.h"
#include "tests/compare_tensors.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

double distance(const Tensor& a, const Tensor& b) {
  const Tensor difference = a.clone();
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    difference.mutable_data<double>()[i] -= b.data<double>()[i];
  }
  return norm(difference);
}

class InBf16 : public ::testing::TestWithParam<OpCase> {};

TEST_P(InBf16, IsTheSameRounded) {
  // Half a unit in the last of 8 bits is 2^-9 of an element at most; a result is the end of at most three roundings.
  constexpr double kRounding = 3.0 / 512;
  const OpCase& c = GetParam();
  const std::vector<Tensor> exact = bf16_results(c, true);
  const std::vector<Tensor> stored = bf16_results(c, false);
  ASSERT_EQ(stored.size(), exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(stored[i].shape(), exact[i].shape());
    EXPECT_LE(distance(stored[i], exact[i]), kRounding * norm(exact[i]) + 1e-5)
        << (i == 0 ? "value" : "gradient of input ") << i;
  }
}

TEST_P(InBf16, GradientsHaveTheTypesOfTheirInputs) {
  const std::vector<Variable> inputs = make_bf16_inputs(GetParam(), 7, false);
  const Variable out = GetParam().build(inputs);
  EXPECT_EQ(out.value().dtype(), DType::bf16);
  out.backward(Tensor::full(out.shape(), 1, DType::bf16));
  for (const Variable& input : inputs) {
    EXPECT_EQ(input.grad().dtype(), input.value().dtype());
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, InBf16, ::testing::ValuesIn(bf16_op_cases()),
                         [](const auto& param) { return test_name(param.param); });

TEST(Cast, RoundsToNearestEvenAndBringsTheGradientBackInTheInputsType) {
  const float ulp = 1.0F / 128;  // of bf16 between 1 and 2
  const std::vector<float> values{1, 1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51F * ulp, -1 - 0.49F * ulp};
  const Variable x(Tensor::from<float>({5}, values), true);
  const Variable y = cast(x, DType::bf16);
  const Tensor got = y.value().to(DType::f32);
  const std::vector<float> want{1, 1, 1 + 2 * ulp, 1 + ulp, -1};
  EXPECT_TRUE(std::ranges::equal(got.values<float>(), want));
  const std::vector<float> seed{0.5, -3, 2, 0, 1 + ulp};
  y.backward(Tensor::from<float>({5}, seed).to(DType::bf16));
  ASSERT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_TRUE(std::ranges::equal(x.grad().values<float>(), seed));
}

TEST(Cast, ToTheSameTypeIsTheVariableItself) {
  const Variable x(Tensor::full({2}, 1), true);
  EXPECT_EQ(cast(x, DType::f32).value().raw(), x.value().raw());
}

TEST(Cast, OtherTypesAreRefused) {
  const Variable x(Tensor::full({2}, 1), true);
  EXPECT_THROW(cast(x, DType::i32), Error);
}

/// Uses in bf16 add up in f32 where the weight is f32: the reason why the casts are operations of the graph.
TEST(Cast, GradientsOfSeveralUsesMeetInTheInputsType) {
  const Variable x(Tensor::full({1}, 1), true);
  const auto weighted = [&](double factor) { return scale(cast(cast(x, DType::bf16), DType::f32), factor); };
  add(weighted(1), weighted(1.0 / 1024)).backward();
  EXPECT_EQ(x.grad().item(), 1 + 1.0 / 1024);
}

}  // namespace
}  // namespace earmark::testing
