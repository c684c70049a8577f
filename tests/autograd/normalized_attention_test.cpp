#include "autograd/normalized_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/residual.h"
#include "tests/op_cases.h"

namespace earmark {
namespace {

using testing::Domain;
using testing::draw;

constexpr AttentionOptions kOptions{true, 48};

struct Inputs {
  std::vector<Variable> v;  // x, gamma, beta, w_spectral, w_temporal, residual
  RunningStatistics running;

  explicit Inputs(DType dtype) : running{Tensor::zeros({19}, dtype), Tensor::full({19}, 1, dtype)} {
    const std::vector<Shape> shapes{{3, 6, 8, 19}, {19}, {19}, {19, 8}, {19, 6}, {3, 6, 8, 19}};
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      v.emplace_back(draw(shapes[i], i == 1 ? Domain::positive : Domain::normal, dtype, 5, i), true);
    }
  }
};

Variable fused(const Inputs& in, bool residual) {
  return normalized_attention(in.v[0], in.v[1], in.v[2], residual ? in.v[5] : Variable(), in.running, in.v[3], in.v[4],
                              kOptions);
}

/// The operations that it stands for.
Variable unfused(const Inputs& in, bool residual) {
  const Variable normal = batch_norm(in.v[0], in.v[1], in.v[2], in.running, {.relu = !residual});
  return spectral_temporal_attention(residual ? residual_relu(normal, in.v[5]) : normal, in.v[3], in.v[4], kOptions);
}

double difference(const Tensor& a, const Tensor& b) {
  double worst = 0;
  const Tensor x = a.to(DType::f64);
  const Tensor y = b.to(DType::f64);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    worst = std::max(worst, std::abs(x.data<double>()[i] - y.data<double>()[i]));
  }
  return worst;
}

TEST(NormalizedAttention, EqualsTheOperationsItStandsFor) {
  for (const auto& [dtype, limit] : {std::pair(DType::f64, 1e-11), std::pair(DType::f32, 2e-3)}) {
    for (const bool residual : {false, true}) {
      const Inputs one(dtype);
      const Inputs two(DType::f64);
      const Variable got = fused(one, residual);
      const Variable want = unfused(two, residual);
      const Tensor seed = draw(want.shape(), Domain::normal, DType::f64, 9);
      got.backward(seed.to(dtype));
      want.backward(seed.clone());
      EXPECT_LT(difference(got.value(), want.value()), limit);
      EXPECT_LT(difference(one.running.variance, two.running.variance), limit);
      for (std::size_t i = 0; i < (residual ? 6U : 5U); ++i) {
        EXPECT_LT(difference(one.v[i].grad(), two.v[i].grad()), limit) << "input " << i;
      }
    }
  }
}

}  // namespace
}  // namespace earmark
