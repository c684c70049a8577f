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

TEST(Tensor, SlicesStayInside) {
  const Tensor t({3, 2});
  EXPECT_EQ(t.slice(3, 3).numel(), 0);
  EXPECT_THROW(static_cast<void>(t.slice(2, 4)), Error);
  EXPECT_THROW(static_cast<void>(t.slice(2, 1)), Error);
  EXPECT_THROW(static_cast<void>(t.slice(-1, 1)), Error);
  EXPECT_THROW(static_cast<void>(Tensor(Shape{}).slice(0, 0)), Error);
  EXPECT_EQ(Tensor({0, 5}).slice(0, 0).shape(), Shape({0, 5}));
}

TEST(Tensor, ClonesShareNothingAndCopiesMustFit) {
  const Tensor t = Tensor::full({2, 2}, 3);
  const Tensor copy = t.clone();
  t.fill(4);
  EXPECT_EQ(copy.data<float>()[3], 3);
  EXPECT_TRUE(copy.is_sole_owner());
  copy.slice(0, 1).copy_from(t.slice(1, 2));
  EXPECT_EQ(copy.data<float>()[1], 4);
  EXPECT_EQ(copy.data<float>()[2], 3);
  EXPECT_THROW(copy.copy_from(Tensor({4})), Error);
  EXPECT_THROW(copy.copy_from(Tensor({2, 2}, DType::f64)), Error);
}

TEST(Tensor, ConvertsBetweenTypes) {
  const Tensor t = Tensor::from<double>({3}, std::array{1.5, -2.25, 1e-3});
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
    const Tensor back = t.to(dtype).to(DType::f64);
    EXPECT_EQ(back.data<double>()[1], -2.25) << name_of(dtype);
    EXPECT_NEAR(back.data<double>()[2], 1e-3, 1e-5) << name_of(dtype);
  }
  EXPECT_TRUE(t.to(DType::f64).is_sole_owner()) << "a conversion to the same type is a copy";
  EXPECT_EQ(Tensor::full({1}, -7.9, DType::i16).item(), -7);
}

TEST(Tensor, ReadsOneElementOnly) {
  EXPECT_EQ(Tensor::full({}, 2.5, DType::bf16).item(), 2.5);
  EXPECT_EQ(Tensor::full({1, 1}, 2).item(), 2);
  EXPECT_THROW(static_cast<void>(Tensor({2}).item()), Error);
  EXPECT_THROW(static_cast<void>(Tensor({0}).item()), Error);
  const std::array<float, 3> three{};
  EXPECT_THROW(Tensor::from<float>({2}, three), Error);
}

TEST(Shape, KnowsItsAxes) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape.numel(), 30);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ(str(shape, Shape{}), "(2, 3, 5)()");
  EXPECT_EQ(shape.with_leading(7), Shape({7, 3, 5}));
  EXPECT_FALSE(Shape({2, 3}) == Shape({2, 3, 1}));
  EXPECT_THROW(static_cast<void>(shape[3]), Error);
  EXPECT_THROW(static_cast<void>(shape[-4]), Error);
  EXPECT_THROW(Shape({1, 1, 1, 1, 1, 1, 1}), Error);
  EXPECT_EQ(Tensor({2, 3, 5}).flatten_from(1).shape(), Shape({2, 15}));
}

TEST(Device, ParsesWhatItKnows) {
  EXPECT_EQ(parse_device("cpu"), Device{});
  EXPECT_NO_THROW(parse_device("auto"));
  EXPECT_THROW(parse_device("gpu"), Error);
  EXPECT_THROW(parse_device(""), Error);
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
