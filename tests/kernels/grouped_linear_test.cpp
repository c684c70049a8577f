#include "kernels/grouped_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/elementwise.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

struct Sizes {
  std::int64_t n, groups, inputs, outputs;
};

/// Fresh operands with random x, w, b.
GroupedLinear operands(const Sizes& s, DType dtype) {
  return {draw({s.n, s.groups, s.inputs}, Domain::normal, dtype, 1),
          draw({s.groups, s.outputs, s.inputs}, Domain::normal, dtype, 2),
          draw({s.groups, s.outputs}, Domain::normal, dtype, 3), Tensor({s.n, s.groups, s.outputs}, dtype)};
}

TEST(GroupedLinear, MatchesItsDefinition) {
  for (const Sizes& s :
       {Sizes{3, 5, 7, 4}, Sizes{70, 2, 48, 32}, Sizes{5, 9, 32, 1}, Sizes{1, 1, 1, 1}, Sizes{2, 3, 300, 33}}) {
    const GroupedLinear a = operands(s, DType::f64);
    grouped_linear(a);
    for (std::int64_t n = 0; n < s.n; ++n) {
      for (std::int64_t go = 0; go < s.groups * s.outputs; ++go) {
        const std::int64_t g = go / s.outputs;
        double want = a.b.data<double>()[go];
        for (std::int64_t i = 0; i < s.inputs; ++i) {
          want += a.x.data<double>()[(n * s.groups + g) * s.inputs + i] * a.w.data<double>()[go * s.inputs + i];
        }
        EXPECT_NEAR(a.out.data<double>()[n * s.groups * s.outputs + go], want, 1e-11);
      }
    }
  }
}

class FusedElu : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(FusedElu, MatchesTheUnfusedPairForwardAndBackward) {
  const Sizes s{6, 5, 9, GetParam()};
  GroupedLinear plain = operands(s, DType::f32);
  GroupedLinear fused = operands(s, DType::f32);
  fused.activation = Activation::elu;
  grouped_linear(plain);
  grouped_linear(fused);
  const Tensor activated = empty_like(plain.out);
  elu(plain.out, activated);
  const Tensor dout = draw(plain.out.shape(), Domain::normal, DType::f32, 4);
  const Tensor dz = empty_like(dout);
  elu_backward(activated, dout, dz);
  const auto gradients = [](const GroupedLinear& forward, const Tensor& gradient) {
    const GroupedLinearBackward b{forward, gradient, empty_like(forward.x), empty_like(forward.w),
                                  empty_like(forward.b)};
    grouped_linear_backward(b);
    return b;
  };
  const GroupedLinearBackward want = gradients(plain, dz);
  const GroupedLinearBackward got = gradients(fused, dout);
  const auto expect_same = [](const Tensor& a, const Tensor& b) {
    for (std::int64_t i = 0; i < a.numel(); ++i) {
      ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 1e-5) << i;
    }
  };
  expect_same(fused.out, activated);
  expect_same(got.dx, want.dx);
  expect_same(got.dw, want.dw);
  expect_same(got.db, want.db);
}

INSTANTIATE_TEST_SUITE_P(Outputs, FusedElu, ::testing::Values(1, 4));

TEST(GroupedLinear, LeavesOutTheGradientOfItsInputWhereNotWanted) {
  const GroupedLinear forward = operands({3, 2, 4, 3}, DType::f64);
  grouped_linear(forward);
  const Tensor dout = Tensor::full(forward.out.shape(), 1, DType::f64);
  const Tensor db = empty_like(forward.b);
  grouped_linear_backward({forward, dout, Tensor(), empty_like(forward.w), db});
  EXPECT_EQ(db.data<double>()[5], 3);
}

TEST(GroupedLinear, NaNComesThroughTheActivation) {
  GroupedLinear a = operands({2, 2, 3, 2}, DType::f32);
  a.activation = Activation::elu;
  a.x.fill(std::nan(""));
  grouped_linear(a);
  EXPECT_TRUE(std::isnan(a.out.data<float>()[3]));
}

TEST(GroupedLinear, RefusesShapesThatDoNotFit) {
  GroupedLinear a = operands({3, 2, 4, 3}, DType::f32);
  a.b = Tensor({3, 2});
  EXPECT_THROW(grouped_linear(a), Error);
  a = operands({3, 2, 4, 3}, DType::f32);
  a.w = Tensor({2, 3, 5});
  EXPECT_THROW(grouped_linear(a), Error);
  a = operands({3, 2, 4, 3}, DType::f32);
  a.x = a.x.to(DType::f64);
  EXPECT_THROW(grouped_linear(a), Error);
}

}  // namespace
}  // namespace earmark::kernels
