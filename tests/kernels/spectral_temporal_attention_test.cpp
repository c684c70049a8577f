#include "kernels/spectral_temporal_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::normal;
using testing::same_bits;

std::vector<double> softmax(const std::vector<double>& logits, bool tanh_logits) {
  std::vector<double> out;
  double sum = 0;
  for (const double l : logits) {
    out.push_back(std::exp(tanh_logits ? std::tanh(l) : l));
    sum += out.back();
  }
  for (double& o : out) {
    o /= sum;
  }
  return out;
}

/// The formula of the header, unfused, one slab at a time.
Tensor reference_attention(const Tensor& x, const Tensor& w_spectral, const Tensor& w_temporal, bool tanh_logits,
                           double scale) {
  const std::int64_t f = x.dim(1);
  const std::int64_t t = x.dim(2);
  const std::int64_t c = x.dim(3);
  const Tensor out = empty_like(x);
  for (std::int64_t slab = 0; slab < x.dim(0) * c; ++slab) {
    const std::int64_t channel = slab % c;
    const auto index = [&](std::int64_t i, std::int64_t j) { return ((slab / c * f + i) * t + j) * c + channel; };
    std::vector<double> by_f(static_cast<std::size_t>(f));
    std::vector<double> by_t(static_cast<std::size_t>(t));
    for (std::int64_t i = 0; i < f; ++i) {
      for (std::int64_t j = 0; j < t; ++j) {
        const double value = x.data<double>()[index(i, j)];
        by_f[static_cast<std::size_t>(i)] += value * w_spectral.data<double>()[channel * t + j];
        by_t[static_cast<std::size_t>(j)] += value * w_temporal.data<double>()[channel * f + i];
      }
    }
    const std::vector<double> spectral = softmax(by_f, tanh_logits);
    const std::vector<double> temporal = softmax(by_t, tanh_logits);
    for (std::int64_t i = 0; i < f; ++i) {
      for (std::int64_t j = 0; j < t; ++j) {
        out.mutable_data<double>()[index(i, j)] = x.data<double>()[index(i, j)] *
                                                  spectral[static_cast<std::size_t>(i)] *
                                                  temporal[static_cast<std::size_t>(j)] * scale;
      }
    }
  }
  return out;
}

struct AttentionResults {
  Tensor out, dx, dw_spectral, dw_temporal;
};

AttentionResults run_attention(const Tensor& x, const Tensor& w_spectral, const Tensor& w_temporal, bool tanh_logits,
                               double scale, const Tensor& dout) {
  const kernels::AttentionForward f{.x = x,
                                    .w_spectral = w_spectral,
                                    .w_temporal = w_temporal,
                                    .tanh_logits = tanh_logits,
                                    .scale = scale,
                                    .out = empty_like(x),
                                    .spectral = Tensor({x.dim(0), x.dim(1), x.dim(3)}, x.dtype()),
                                    .temporal = Tensor({x.dim(0), x.dim(2), x.dim(3)}, x.dtype())};
  kernels::spectral_temporal_attention_forward(f);
  const AttentionResults e{f.out, empty_like(x), empty_like(w_spectral), empty_like(w_temporal)};
  kernels::spectral_temporal_attention_backward(
      {.forward = f, .dout = dout, .dx = e.dx, .dw_spectral = e.dw_spectral, .dw_temporal = e.dw_temporal});
  return e;
}

double relative_difference(const Tensor& got, const Tensor& want) {
  const Tensor a = got.to(DType::f64);
  double worst = 0;
  double largest = 1e-300;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    const double d = std::abs(a.data<double>()[i] - want.data<double>()[i]);
    worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
    largest = std::max(largest, std::abs(want.data<double>()[i]));
  }
  return worst / largest;
}

class AttentionShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(AttentionShapes, MatchTheDefinitionInDoubleAndInFloat) {
  const Shape& shape = GetParam();
  const Tensor x = normal(shape, 1);
  const Tensor w_spectral = normal({shape[3], shape[2]}, 2);
  const Tensor w_temporal = normal({shape[3], shape[1]}, 3);
  const Tensor dout = normal(shape, 4);
  const auto f32 = [](const Tensor& t) { return t.to(DType::f32); };
  for (const bool tanh_logits : {true, false}) {
    const double scale = 10;
    const Tensor want = reference_attention(x, w_spectral, w_temporal, tanh_logits, scale);
    const AttentionResults exact = run_attention(x, w_spectral, w_temporal, tanh_logits, scale, dout);
    const AttentionResults got = run_attention(f32(x), f32(w_spectral), f32(w_temporal), tanh_logits, scale, f32(dout));
    EXPECT_LT(relative_difference(exact.out, want), 1e-13);
    EXPECT_LT(relative_difference(got.out, want), 1e-5);
    EXPECT_LT(relative_difference(got.dx, exact.dx), 2e-5);
    EXPECT_LT(relative_difference(got.dw_spectral, exact.dw_spectral), 2e-5);
    EXPECT_LT(relative_difference(got.dw_temporal, exact.dw_temporal), 2e-5);
  }
}

TEST_P(AttentionShapes, GiveTheSameBitsOnAnyNumberOfThreads) {
  const Shape& shape = GetParam();
  const Tensor x = normal(shape, 1).to(DType::f32);
  const Tensor w_spectral = normal({shape[3], shape[2]}, 2).to(DType::f32);
  const Tensor w_temporal = normal({shape[3], shape[1]}, 3).to(DType::f32);
  std::vector<AttentionResults> results;
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(run_attention(x, w_spectral, w_temporal, true, 1, x));
  }
  set_num_threads(before);
  for (const AttentionResults& r : results) {
    EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.dx, results[0].dx) &&
                same_bits(r.dw_spectral, results[0].dw_spectral) && same_bits(r.dw_temporal, results[0].dw_temporal));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionShapes,
                         ::testing::Values(Shape{2, 64, 96, 16}, Shape{1, 1, 1, 1}, Shape{5, 7, 5, 17},
                                           Shape{9, 4, 6, 33}, Shape{3, 2, 3, 64}, Shape{1, 9, 1, 3}));

TEST(Attention, IsTheIdentityForZeroWeightsAndScaleOfTheArea) {
  const Tensor x = normal({2, 6, 8, 5}, 1).to(DType::f32);
  const Tensor zero_t = Tensor::zeros({5, 8});
  const Tensor zero_f = Tensor::zeros({5, 6});
  EXPECT_LT(relative_difference(run_attention(x, zero_t, zero_f, true, 48, x).out, x.to(DType::f64)), 1e-6);
}

TEST(Attention, MayOverwriteItsInput) {
  const Tensor x = normal({2, 6, 8, 19}, 1).to(DType::f32);
  const Tensor w_spectral = normal({19, 8}, 2).to(DType::f32);
  const Tensor w_temporal = normal({19, 6}, 3).to(DType::f32);
  const Tensor want = run_attention(x, w_spectral, w_temporal, true, 3, x).out;
  kernels::spectral_temporal_attention_forward({.x = x,
                                                .w_spectral = w_spectral,
                                                .w_temporal = w_temporal,
                                                .tanh_logits = true,
                                                .scale = 3,
                                                .out = x,
                                                .spectral = Tensor({2, 6, 19}),
                                                .temporal = Tensor({2, 8, 19})});
  EXPECT_EQ(relative_difference(x, want.to(DType::f64)), 0);
}

TEST(Attention, KeepsLargeLogitsFinite) {
  const Tensor x = Tensor::full({1, 4, 4, 2}, 1000);
  const Tensor w = Tensor::full({2, 4}, 5);
  const AttentionResults e = run_attention(x, w, w, false, 16, x);
  EXPECT_NEAR(e.out.data<float>()[0], 1000, 1e-2) << "equal logits share equally, however large";
  EXPECT_TRUE(std::isfinite(e.dx.data<float>()[7]));
}

TEST(Attention, LetsNaNThroughInItsSlabAlone) {
  const Tensor x = normal({2, 4, 5, 3}, 1).to(DType::f32);
  const Tensor w_spectral = normal({3, 5}, 2).to(DType::f32);
  const Tensor w_temporal = normal({3, 4}, 3).to(DType::f32);
  x.mutable_data<float>()[1] = std::numeric_limits<float>::quiet_NaN();
  const AttentionResults e = run_attention(x, w_spectral, w_temporal, true, 1, x);
  EXPECT_TRUE(std::isnan(e.out.data<float>()[1]));
  EXPECT_TRUE(std::isnan(e.out.data<float>()[19 * 3 + 1])) << "the last place of the slab";
  EXPECT_FALSE(std::isnan(e.out.data<float>()[0])) << "another channel";
  EXPECT_FALSE(std::isnan(e.out.data<float>()[20 * 3 + 1])) << "another sample";
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const Tensor x({1, 4, 5, 3});
  EXPECT_THROW(run_attention(x, Tensor({3, 4}), Tensor({3, 4}), true, 1, x), Error);
  EXPECT_THROW(run_attention(x, Tensor({3, 5}), Tensor({3, 4}, DType::f64), true, 1, x), Error);
}

}  // namespace
}  // namespace earmark
