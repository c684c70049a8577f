#include "kernels/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/conv.h"
#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::largest_difference;
using testing::normal;
using testing::same_bits;

struct Statistics {
  Tensor mean, inverse_deviation;
};

Statistics statistics_of(const Tensor& x, const Tensor& running_mean = {}, const Tensor& running_variance = {}) {
  const Shape channels{x.dim(-1)};
  const Statistics s{Tensor(channels, x.dtype()), Tensor(channels, x.dtype())};
  kernels::batch_norm_statistics({.x = x,
                                  .running_mean = running_mean,
                                  .running_variance = running_variance,
                                  .mean = s.mean,
                                  .inverse_deviation = s.inverse_deviation});
  return s;
}

TEST(BatchNorm, StatisticsMatchTheDefinition) {
  const std::int64_t rows = 5 * 31;
  const Tensor x = normal({5, 31, 17}, 1);
  const Tensor running_mean = Tensor::full({17}, 2, DType::f64);
  const Tensor running_variance = Tensor::full({17}, 3, DType::f64);
  const Statistics s = statistics_of(x, running_mean, running_variance);
  for (int c = 0; c < 17; ++c) {
    double mean = 0;
    double square = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      mean += x.data<double>()[r * 17 + c] / rows;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      square += std::pow(x.data<double>()[r * 17 + c] - mean, 2);
    }
    EXPECT_NEAR(s.mean.data<double>()[c], mean, 1e-13);
    EXPECT_NEAR(s.inverse_deviation.data<double>()[c], 1 / std::sqrt(square / rows + 1e-5), 1e-12);
    EXPECT_NEAR(running_mean.data<double>()[c], 2 + 0.1 * (mean - 2), 1e-13);
    EXPECT_NEAR(running_variance.data<double>()[c], 3 + 0.1 * (square / (rows - 1) - 3), 1e-12) << "n - 1, as PyTorch";
  }
}

TEST(BatchNorm, FloatStatisticsSurviveALargeMean) {
  // The mean of squares minus the square of the mean would keep no digit of a variance of 1 beside 1e8.
  const Tensor x = normal({200000, 1}, 2, DType::f32, 1e4);
  const Statistics s = statistics_of(x);
  EXPECT_NEAR(s.mean.data<float>()[0], 1e4, 0.05);
  EXPECT_NEAR(s.inverse_deviation.data<float>()[0], 1, 0.02);
}

/// Statistics of x (rows, C) from the moments of `parts` pieces with as many rows each.
Statistics merged(const Tensor& x, std::int64_t parts, const Tensor& running_mean, const Tensor& running_variance) {
  const std::int64_t rows = x.dim(0) / parts;
  const Tensor moments({parts, 2, x.dim(1)}, DType::f64);
  for (std::int64_t part = 0; part < parts; ++part) {
    kernels::batch_norm_moments(x.slice(part * rows, (part + 1) * rows),
                                moments.slice(part, part + 1).reshape({2, x.dim(1)}));
  }
  const DType results = running_mean.dtype();
  const Statistics s{Tensor({x.dim(1)}, results), Tensor({x.dim(1)}, results)};
  kernels::batch_norm_merge(moments, rows,
                            {.x = {},
                             .running_mean = running_mean,
                             .running_variance = running_variance,
                             .mean = s.mean,
                             .inverse_deviation = s.inverse_deviation});
  return s;
}

TEST(BatchNorm, MomentsOfPartsMergeToTheStatisticsOfAllRows) {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const DType vectors = dtype == DType::f64 ? DType::f64 : DType::f32;
    const double slack = dtype == DType::f64 ? 1e-12 : 3e-6;
    for (const std::int64_t parts : {1, 3, 4}) {
      const Tensor x = normal({parts * 400, 19}, 1, DType::f64, 5).to(dtype);
      const Tensor means[] = {Tensor::full({19}, 2, vectors), Tensor::full({19}, 2, vectors)};
      const Tensor variances[] = {Tensor::full({19}, 3, vectors), Tensor::full({19}, 3, vectors)};
      const Statistics got = merged(x, parts, means[0], variances[0]);
      const Statistics want{Tensor({19}, vectors), Tensor({19}, vectors)};
      kernels::batch_norm_statistics({.x = x,
                                      .running_mean = means[1],
                                      .running_variance = variances[1],
                                      .mean = want.mean,
                                      .inverse_deviation = want.inverse_deviation});
      EXPECT_LT(largest_difference(got.mean, want.mean), slack) << parts << " parts";
      EXPECT_LT(largest_difference(got.inverse_deviation, want.inverse_deviation), slack) << parts << " parts";
      EXPECT_LT(largest_difference(means[0], means[1]), slack) << parts << " parts";
      EXPECT_LT(largest_difference(variances[0], variances[1]), slack) << parts << " parts";
      if (parts == 1) {
        EXPECT_TRUE(same_bits(got.mean, want.mean) && same_bits(got.inverse_deviation, want.inverse_deviation));
      }
    }
  }
}

struct BatchNormResults {
  Tensor out, dx, dgamma, dbeta;
};

BatchNormResults run_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& dout,
                                bool relu) {
  const Statistics s = statistics_of(x);
  const BatchNormResults e{empty_like(x), empty_like(x), empty_like(gamma), empty_like(beta)};
  const kernels::BatchNormForward f{.x = x,
                                    .mean = s.mean,
                                    .inverse_deviation = s.inverse_deviation,
                                    .gamma = gamma,
                                    .beta = beta,
                                    .relu = relu,
                                    .out = e.out};
  kernels::batch_norm_forward(f);
  kernels::batch_norm_backward({.forward = f, .dout = dout, .dx = e.dx, .dgamma = e.dgamma, .dbeta = e.dbeta});
  return e;
}

TEST(BatchNorm, GradientSumsAloneAreThoseOfBackward) {
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const DType vectors = dtype == DType::f64 ? DType::f64 : DType::f32;
    const Tensor x = normal({700, 17}, 1).to(dtype);
    const Tensor dout = normal({700, 17}, 4).to(dtype);
    const Tensor gamma = normal({17}, 2).to(vectors);
    const kernels::BatchNormForward f{.x = x,
                                      .mean = normal({17}, 5).to(vectors),
                                      .inverse_deviation = gamma,
                                      .gamma = gamma,
                                      .beta = normal({17}, 3).to(vectors),
                                      .relu = true,
                                      .out = {}};
    const BatchNormResults want{{}, empty_like(x), empty_like(gamma), empty_like(gamma)};
    const BatchNormResults got{{}, {}, empty_like(gamma), empty_like(gamma)};
    kernels::batch_norm_backward(
        {.forward = f, .dout = dout, .dx = want.dx, .dgamma = want.dgamma, .dbeta = want.dbeta});
    kernels::batch_norm_gradient_sums({.forward = f, .dout = dout, .dx = {}, .dgamma = got.dgamma, .dbeta = got.dbeta});
    EXPECT_TRUE(same_bits(got.dgamma, want.dgamma));
    EXPECT_TRUE(same_bits(got.dbeta, want.dbeta));
  }
}

TEST(BatchNorm, FloatAgreesWithDouble) {
  for (const std::int64_t channels : {1, 3, 16, 17, 33, 64}) {
    const Tensor x = normal({700, channels}, 1);
    const Tensor gamma = normal({channels}, 2);
    const Tensor beta = normal({channels}, 3);
    const Tensor dout = normal({700, channels}, 4);
    const auto f = [](const Tensor& t) { return t.to(DType::f32); };
    const BatchNormResults want = run_batch_norm(x, gamma, beta, dout, true);
    const BatchNormResults got = run_batch_norm(f(x), f(gamma), f(beta), f(dout), true);
    EXPECT_LT(largest_difference(got.out, want.out), 2e-5) << channels;
    EXPECT_LT(largest_difference(got.dx, want.dx), 2e-5) << channels;
    EXPECT_LT(largest_difference(got.dgamma, want.dgamma), 5e-4) << channels;
    EXPECT_LT(largest_difference(got.dbeta, want.dbeta), 5e-4) << channels;
  }
}

TEST(BatchNorm, GivesTheSameBitsOnAnyNumberOfThreads) {
  const Tensor x = normal({9000, 33}, 1, DType::f32);
  const Tensor gamma = normal({33}, 2, DType::f32);
  const Tensor dout = normal({9000, 33}, 4, DType::f32);
  std::vector<BatchNormResults> results;
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(run_batch_norm(x, gamma, gamma, dout, true));
  }
  set_num_threads(before);
  for (const BatchNormResults& r : results) {
    EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.dx, results[0].dx) &&
                same_bits(r.dgamma, results[0].dgamma) && same_bits(r.dbeta, results[0].dbeta));
  }
}

TEST(BatchNorm, LetsNaNThrough) {
  const Tensor x = normal({8, 3}, 1, DType::f32);
  x.mutable_data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  const Tensor ones = Tensor::full({3}, 1);
  const BatchNormResults e = run_batch_norm(x, ones, ones, x, true);
  EXPECT_TRUE(std::isnan(e.out.data<float>()[1])) << "its channel";
  EXPECT_FALSE(std::isnan(e.out.data<float>()[0])) << "another channel";
  EXPECT_TRUE(std::isnan(e.dgamma.data<float>()[1]));
}

TEST(BatchNorm, FoldsIntoTheConvolutionBefore) {
  const ConvOptions options = ConvOptions::centred(3, 3, 1, 1);
  const Tensor x = normal({2, 5, 6, 3}, 1);
  const Tensor weight = normal({17, 3, 3, 3}, 2);
  const Tensor bias = normal({17}, 3);
  const Tensor gamma = normal({17}, 4);
  const Tensor beta = normal({17}, 5);
  const Tensor mean = normal({17}, 6);
  const Tensor variance = Tensor::full({17}, 0.7, DType::f64);
  const Tensor folded_weight = empty_like(weight);
  const Tensor folded_bias = empty_like(bias);
  kernels::fold_batch_norm({.weight = weight,
                            .bias = bias,
                            .gamma = gamma,
                            .beta = beta,
                            .running_mean = mean,
                            .running_variance = variance,
                            .folded_weight = folded_weight,
                            .folded_bias = folded_bias});
  const Tensor plain({2, 5, 6, 17}, DType::f64);
  const Tensor folded = empty_like(plain);
  kernels::conv_forward({.x = x, .weight = weight, .bias = bias, .options = options, .add = {}, .out = plain});
  kernels::conv_forward(
      {.x = x, .weight = folded_weight, .bias = folded_bias, .options = options, .add = {}, .out = folded});
  const Tensor deviation = Tensor::full({17}, 1 / std::sqrt(0.7 + 1e-5), DType::f64);
  const Tensor want = empty_like(plain);
  kernels::batch_norm_forward(
      {.x = plain, .mean = mean, .inverse_deviation = deviation, .gamma = gamma, .beta = beta, .out = want});
  EXPECT_LT(largest_difference(folded, want), 1e-12);
}

TEST(BatchNorm, IsAnAffineMapOfEachChannel) {
  const Tensor x = normal({9, 5}, 1);
  const Tensor variance = Tensor::full({5}, 0.7, DType::f64);
  kernels::BatchNormForward f{.x = x,
                              .mean = normal({5}, 2),
                              .inverse_deviation = empty_like(variance),
                              .gamma = normal({5}, 3),
                              .beta = normal({5}, 4),
                              .out = empty_like(x)};
  kernels::batch_norm_inverse_deviation(variance, 0.1, f.inverse_deviation);
  EXPECT_DOUBLE_EQ(f.inverse_deviation.data<double>()[4], 1 / std::sqrt(0.8));
  const Tensor slope = empty_like(variance);
  const Tensor offset = empty_like(variance);
  kernels::batch_norm_affine(f, slope, offset);
  kernels::batch_norm_forward(f);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const double y = x.data<double>()[i] * slope.data<double>()[i % 5] + offset.data<double>()[i % 5];
    EXPECT_NEAR(f.out.data<double>()[i], y, 1e-14);
  }
  EXPECT_THROW(kernels::batch_norm_affine(f, slope, Tensor({4}, DType::f64)), Error);
  EXPECT_THROW(kernels::batch_norm_inverse_deviation(variance, 0.1, Tensor({5})), Error) << "of another type";
}

TEST(BatchNorm, RefusesWhatDoesNotFit) {
  const Tensor x({4, 3});
  EXPECT_THROW(statistics_of(Tensor({0, 3})), Error);
  EXPECT_THROW(statistics_of(x, Tensor({3}), {}), Error) << "a running mean without its variance";
  EXPECT_THROW(run_batch_norm(x, Tensor({2}), Tensor({3}), x, false), Error);
}

}  // namespace
}  // namespace earmark
