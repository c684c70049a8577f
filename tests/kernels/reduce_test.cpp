#include "kernels/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

TEST(Sum, OfEverythingAndOfLeadingAxes) {
  const Tensor x({2, 3, 2});
  std::iota(x.mutable_data<float>(), x.mutable_data<float>() + 12, 0.0F);
  const Tensor all(Shape{});
  sum(x, all);
  EXPECT_EQ(all.item(), 66);
  const Tensor channels({2});
  sum(x, channels);
  EXPECT_EQ(channels.data<float>()[0], 30);
  EXPECT_EQ(channels.data<float>()[1], 36);
  const Tensor same({2, 3, 2});
  sum(x, same);
  EXPECT_EQ(same.data<float>()[11], 11);
  const Tensor first({3, 2});
  mean(x, first);
  EXPECT_EQ(first.data<float>()[5], 8);
}

TEST(Sum, KeepsSmallTermsBesideLargeOnes) {
  // In float, adding 1 to 2^24 changes nothing.
  const Tensor x = Tensor::full({1 << 20}, 1);
  x.mutable_data<float>()[0] = 16777216.0F;
  const Tensor out(Shape{});
  sum(x, out);
  EXPECT_EQ(out.item(), 16777216.0 + (1 << 20) - 1 + 1);  // rounded to even
}

TEST(Sum, MatchesAPlainLoopAtAwkwardSizes) {
  for (const Shape& shape :
       {Shape{1, 1}, Shape{7, 65}, Shape{1000, 3}, Shape{33000, 2}, Shape{3, 40000}, Shape{129, 1}}) {
    const Tensor x = draw(shape, Domain::normal, DType::f64, 5);
    const Tensor out({shape[1]}, DType::f64);
    sum(x, out);
    for (std::int64_t c = 0; c < shape[1]; c += 1 + shape[1] / 50) {
      double want = 0;
      for (std::int64_t r = 0; r < shape[0]; ++r) {
        want += x.data<double>()[r * shape[1] + c];
      }
      EXPECT_NEAR(out.data<double>()[c], want, 1e-9) << shape << " column " << c;
    }
  }
}

TEST(Sum, OfNothing) {
  const Tensor out = Tensor::full({3}, 7);
  sum(Tensor({0, 3}), out);
  EXPECT_EQ(out.data<float>()[2], 0);
  EXPECT_THROW(mean(Tensor({0, 3}), out), Error);
  sum(Tensor({3, 0}), Tensor({0}));
}

TEST(Sum, NaNComesThrough) {
  const Tensor x = Tensor::full({100000}, 1);
  x.mutable_data<float>()[77777] = std::numeric_limits<float>::quiet_NaN();
  const Tensor out(Shape{});
  mean(x, out);
  EXPECT_TRUE(std::isnan(out.item()));
}

TEST(Repeat, IsTheTransposeOfSum) {
  const Tensor x = draw({3}, Domain::normal, DType::f64, 1);
  const Tensor out({2, 4, 3}, DType::f64);
  repeat(x, 0.5, out);
  EXPECT_EQ(out.data<double>()[23], 0.5 * x.data<double>()[2]);
  const Tensor one = Tensor::full({}, 4, DType::f64);
  repeat(one, 0.25, out);
  EXPECT_EQ(out.data<double>()[7], 1);
}

TEST(Reduce, RefusesShapesThatAreNotTheEnd) {
  EXPECT_THROW(sum(Tensor({2, 3}), Tensor({2})), Error);
  EXPECT_THROW(sum(Tensor({3}), Tensor({2, 3})), Error);
  EXPECT_THROW(repeat(Tensor({2}), 1, Tensor({2, 3})), Error);
  EXPECT_THROW(sum(Tensor({2, 3}), Tensor({3}, DType::f64)), Error);
}

}  // namespace
}  // namespace earmark::kernels
