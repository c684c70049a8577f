#include "kernels/residual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::normal;

TEST(ResidualRelu, MatchesTheDefinitionAtAnySize) {
  for (const std::int64_t count : {1, 15, 16, 17, 65536 + 5}) {
    const Tensor a = normal({count}, 1, DType::f32);
    const Tensor b = normal({count}, 2, DType::f32);
    const Tensor dout = normal({count}, 3, DType::f32);
    const Tensor out = empty_like(a);
    const Tensor dsum = empty_like(a);
    kernels::residual_relu_forward({.a = a, .b = b, .out = out});
    kernels::residual_relu_backward({.out = out, .dout = dout, .dsum = dsum});
    for (std::int64_t i = 0; i < count; ++i) {
      const float sum = a.data<float>()[i] + b.data<float>()[i];
      ASSERT_EQ(out.data<float>()[i], std::max(0.0F, sum)) << i << " of " << count;
      ASSERT_EQ(dsum.data<float>()[i], sum > 0 ? dout.data<float>()[i] : 0.0F) << i << " of " << count;
    }
  }
}

TEST(ResidualRelu, LetsNaNThroughAndRefusesOtherShapes) {
  const Tensor a = normal({33}, 1, DType::f32);
  const Tensor out = empty_like(a);
  a.mutable_data<float>()[32] = std::numeric_limits<float>::quiet_NaN();
  kernels::residual_relu_forward({.a = a, .b = a, .out = out});
  EXPECT_TRUE(std::isnan(out.data<float>()[32]));
  EXPECT_THROW(kernels::residual_relu_forward({.a = a, .b = Tensor({3}), .out = out}), Error);
}

}  // namespace
}  // namespace earmark
