#include "kernels/normalize.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

TEST(L2Normalize, KnownValuesAndZeroRows) {
  const Tensor x = Tensor::from<float>({3, 2}, std::array{3.0F, 4.0F, 0.0F, 0.0F, 0.0F, -1e-20F});
  const Tensor out({3, 2});
  const Tensor norm({3});
  l2_normalize({x, out, norm});
  EXPECT_FLOAT_EQ(out.data<float>()[0], 0.6F);
  EXPECT_FLOAT_EQ(out.data<float>()[1], 0.8F);
  EXPECT_EQ(norm.data<float>()[0], 5);
  EXPECT_EQ(out.data<float>()[2], 0);
  EXPECT_FLOAT_EQ(norm.data<float>()[1], 1e-12F);
  EXPECT_TRUE(std::isfinite(out.data<float>()[5]));
}

TEST(L2Normalize, AZeroRowHasAFiniteGradient) {
  const Tensor x = Tensor::zeros({1, 2}, DType::f64);
  const Tensor out = empty_like(x);
  const Tensor norm({1}, DType::f64);
  l2_normalize({x, out, norm, 0.5});
  const Tensor dx = Tensor::full({1, 2}, 3, DType::f64);
  l2_normalize_backward({out, norm, dx, dx, 0.5});
  EXPECT_EQ(dx.data<double>()[0], 6);
}

TEST(L2Normalize, RowsHaveUnitLengthInFloat) {
  const Tensor x = testing::draw({300, 131}, testing::Domain::normal, DType::f32, 3);
  l2_normalize({x, x, Tensor({300})});
  for (std::int64_t r = 0; r < 300; ++r) {
    double square = 0;
    for (std::int64_t i = 0; i < 131; ++i) {
      square += std::pow(static_cast<double>(x.data<float>()[r * 131 + i]), 2);
    }
    EXPECT_NEAR(square, 1, 1e-6);
  }
}

TEST(L2Normalize, NaNStaysInItsRow) {
  const Tensor x = Tensor::full({2, 2}, 1);
  x.mutable_data<float>()[0] = std::nanf("");
  l2_normalize({x, x, Tensor({2})});
  EXPECT_TRUE(std::isnan(x.data<float>()[1]));
  EXPECT_FLOAT_EQ(x.data<float>()[3], std::sqrt(0.5F));
}

TEST(L2Normalize, RefusesWhatDoesNotFit) {
  const Tensor x({2, 3});
  EXPECT_THROW(l2_normalize({x, x, Tensor({3})}), Error);
  EXPECT_THROW(l2_normalize({x, Tensor({3, 2}), Tensor({2})}), Error);
  EXPECT_THROW(l2_normalize({Tensor({6}), Tensor({6}), Tensor({2})}), Error);
  EXPECT_THROW(l2_normalize({x, x, Tensor({2}), 0}), Error);
}

}  // namespace
}  // namespace earmark::kernels
