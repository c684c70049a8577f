#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/vector_math.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Error of `got` in units of the last place of `want`.
double ulps(float got, double want) {
  const auto near = static_cast<float>(want);
  const double unit = static_cast<double>(std::nextafter(std::abs(near), kInf)) - static_cast<double>(std::abs(near));
  return std::abs(static_cast<double>(got) - want) / unit;
}

TEST(VectorMath, ExponentialsAreAccurateOverTheirRange) {
  double worst_exp = 0;
  double worst_minus_1 = 0;
  for (int i = 0; i <= 200000; ++i) {
    const float x = -86.5F * static_cast<float>(i) / 200000.0F;
    worst_exp = std::max(worst_exp, ulps(cpu::exponential(x), std::exp(static_cast<double>(x))));
    worst_minus_1 = std::max(worst_minus_1, ulps(cpu::exp_minus_1(x), std::expm1(static_cast<double>(x))));
  }
  for (float x = -1e-30F; x > -1; x *= 1.7F) {
    worst_minus_1 = std::max(worst_minus_1, ulps(cpu::exp_minus_1(x), std::expm1(static_cast<double>(x))));
  }
  EXPECT_LT(worst_exp, 2);
  EXPECT_LT(worst_minus_1, 3);
}

TEST(VectorMath, ExponentialsEndWell) {
  EXPECT_EQ(cpu::exponential(0.0F), 1.0F);
  EXPECT_EQ(cpu::exp_minus_1(0.0F), 0.0F);
  EXPECT_LT(cpu::exponential(-kInf), 1e-37F);
  EXPECT_EQ(cpu::exp_minus_1(-kInf), -1.0F);
  EXPECT_TRUE(std::isnan(cpu::exponential(kNaN)));
  EXPECT_TRUE(std::isnan(cpu::exp_minus_1(kNaN)));
}

TEST(VectorMath, DotIsRightAtEveryLength) {
  const Tensor a = testing::draw({200}, testing::Domain::normal, DType::f32, 1);
  const Tensor b = testing::draw({200}, testing::Domain::normal, DType::f32, 2);
  for (std::int64_t n = 0; n <= 200; ++n) {
    double want = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      want += static_cast<double>(a.data<float>()[i]) * static_cast<double>(b.data<float>()[i]);
    }
    EXPECT_NEAR(cpu::dot(a.data<float>(), b.data<float>(), n), want, 2e-5) << n;
  }
}

TEST(Elementwise, NonFiniteValuesComeThrough) {
  const Tensor x = Tensor::from<float>({4}, std::array{kNaN, kInf, -kInf, -2.0F});
  const Tensor out({4});
  relu(x, out);
  EXPECT_TRUE(std::isnan(out.data<float>()[0]));
  EXPECT_EQ(out.data<float>()[1], kInf);
  EXPECT_EQ(out.data<float>()[2], 0);
  elu(x, out);
  EXPECT_TRUE(std::isnan(out.data<float>()[0]));
  EXPECT_EQ(out.data<float>()[1], kInf);
  EXPECT_EQ(out.data<float>()[2], -1);
  EXPECT_NEAR(out.data<float>()[3], std::expm1(-2.0), 1e-7);
  const Tensor dx({4});
  relu_backward(x, Tensor::full({4}, 3), dx);
  EXPECT_EQ(dx.data<float>()[0], 3) << "NaN in the forward pass must not silently switch its gradient off";
  EXPECT_EQ(dx.data<float>()[2], 0);
}

TEST(Elementwise, MayWriteOverAnOperand) {
  const Tensor x = Tensor::from<double>({3}, std::array{1.0, -2.0, 3.0});
  add(x, x, x);
  EXPECT_EQ(x.data<double>()[1], -4);
  relu(x, x);
  EXPECT_EQ(x.data<double>()[1], 0);
  scale(x, 0.5, x);
  EXPECT_EQ(x.data<double>()[2], 3);
}

TEST(Elementwise, AnEmptyTensorIsNoWork) {
  const Tensor x({0, 3});
  add(x, x, x);
  EXPECT_EQ(x.numel(), 0);
}

TEST(Elementwise, RefusesOperandsThatDiffer) {
  const Tensor a({2, 3});
  EXPECT_THROW(add(a, Tensor({3, 2}), a), Error);
  EXPECT_THROW(mul(a, Tensor({2, 3}, DType::f64), a), Error);
  EXPECT_THROW(scale(a, 2, Tensor({6})), Error);
  EXPECT_THROW(relu(Tensor({2}, DType::i32), Tensor({2}, DType::i32)), Error);
}

TEST(Cast, RoundsToNearestEvenAndBack) {
  const Tensor x = Tensor::from<float>({5}, std::array{1.0F, 1.00390625F, 1.01171875F, -3e38F, kNaN});
  const Tensor narrow({5}, DType::bf16);
  cast(x, narrow);
  const Tensor back({5});
  cast(narrow, back);
  EXPECT_EQ(back.data<float>()[0], 1.0F);
  EXPECT_EQ(back.data<float>()[1], 1.0F);
  EXPECT_EQ(back.data<float>()[2], 1.015625F);
  EXPECT_LT(back.data<float>()[3], -2.9e38F);
  EXPECT_TRUE(std::isnan(back.data<float>()[4]));
}

TEST(Cast, KnowsItsTypes) {
  const Tensor x = Tensor::from<double>({2}, std::array{0.1, 1e300});
  const Tensor single({2});
  cast(x, single);
  EXPECT_EQ(single.data<float>()[0], 0.1F);
  EXPECT_EQ(single.data<float>()[1], kInf);
  EXPECT_THROW(cast(x, Tensor({2}, DType::i8)), Error);
  EXPECT_THROW(cast(x, Tensor({3})), Error);
}

}  // namespace
}  // namespace earmark::kernels
