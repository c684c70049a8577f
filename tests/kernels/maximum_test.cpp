#include "kernels/maximum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"

namespace earmark::kernels {
namespace {

float maximum_of(const Tensor& x) {
  const Tensor out({1});
  maximum({x, out});
  return *out.data<float>();
}

TEST(Maximum, IsFoundWhereverItLies) {
  for (const std::int64_t count : {1, 2, 15, 16, 17, 1000, 65536, 65537, 200001}) {
    for (const std::int64_t place : {std::int64_t{0}, count / 2, count - 1}) {
      const Tensor x = Tensor::full({count}, -7);
      x.mutable_data<float>()[place] = -3;
      EXPECT_EQ(maximum_of(x), -3) << place << " of " << count;
    }
  }
}

TEST(Maximum, OfNothingAndOfNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(maximum_of(Tensor({0, 3})), -kInfinity);
  EXPECT_EQ(maximum_of(Tensor::full({3, 2}, -kInfinity)), -kInfinity);
  for (const std::int64_t place : {0, 40, 99999}) {
    const Tensor x = Tensor::full({100000}, 1);
    x.mutable_data<float>()[50] = kInfinity;
    x.mutable_data<float>()[place] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(maximum_of(x))) << place;
  }
}

TEST(Maximum, RefusesOtherShapesAndTypes) {
  EXPECT_THROW(maximum({Tensor({3}), Tensor({2})}), Error);
  EXPECT_THROW(maximum({Tensor({3}, DType::f64), Tensor({1})}), Error);
  EXPECT_THROW(maximum({Tensor({3}), Tensor({1}, DType::f64)}), Error);
}

}  // namespace
}  // namespace earmark::kernels
