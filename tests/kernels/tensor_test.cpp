#include "kernels/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "kernels/random.h"

namespace earmark {
namespace {

TEST(Tensor, SlicesAndReshapesShareMemory) {
  const std::array<float, 6> values{0, 1, 2, 3, 4, 5};
  const Tensor t = Tensor::from<float>({3, 2}, values);
  const Tensor row = t.slice(1, 2).reshape({2});
  row.mutable_data<float>()[0] = 9;
  EXPECT_EQ(t.data<float>()[2], 9);
  EXPECT_FALSE(t.is_sole_owner());
}

TEST(Tensor, RefusesAWrongReshapeAndAWrongType) {
  const Tensor t({2, 3});
  EXPECT_THROW(static_cast<void>(t.reshape({7})), Error);
  EXPECT_THROW(static_cast<void>(t.data<double>()), Error);
  EXPECT_THROW(static_cast<void>(Tensor().data<float>()), Error);
}

TEST(Tensor, BFloat16RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(BFloat16(1.0F).bits, 0x3F80);
  EXPECT_EQ(static_cast<float>(BFloat16(1.00390625F)), 1.0F);       // a tie goes to even
  EXPECT_EQ(static_cast<float>(BFloat16(1.01171875F)), 1.015625F);  // a tie goes to even
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::nanf("")))));
}

TEST(Philox, MatchesThePublishedTestVector) {
  // Random123's known-answer file, philox4x32-10, all-ones counter and key.
  constexpr std::array<std::uint32_t, 4> kWant{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  EXPECT_EQ(philox({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}), kWant);
}

TEST(RandomStream, IsAFunctionOfItsKeysAndLooksUniform) {
  RandomStream a(7, 1, 2);
  RandomStream same(7, 1, 2);
  RandomStream other(7, 1, 3);
  double sum = 0;
  double normal_square = 0;
  bool differs = false;
  for (int i = 0; i < 10000; ++i) {
    const double u = a.uniform();
    EXPECT_EQ(u, same.uniform());
    differs = differs || u != other.uniform();
    sum += u;
    const double n = RandomStream(3, 4, static_cast<std::uint64_t>(i)).normal();
    normal_square += n * n;
  }
  EXPECT_TRUE(differs);
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
  EXPECT_NEAR(normal_square / 10000, 1, 0.05);
}

}  // namespace
}  // namespace earmark
