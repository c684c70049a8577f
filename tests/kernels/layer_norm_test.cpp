#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::largest_difference;
using testing::normal;
using testing::same_bits;

Shape sample_of(const Tensor& x) { return Shape(x.shape().dims().subspan(1)); }

struct LayerNormResults {
  Tensor out, mean, inverse_deviation, dx, dgamma, dbeta;
};

LayerNormResults run_layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& dout,
                                bool elu) {
  const DType beside = gamma.dtype();
  const LayerNormResults e{empty_like(x), Tensor({x.dim(0)}, beside), Tensor({x.dim(0)}, beside),
                           empty_like(x), empty_like(gamma),          empty_like(gamma)};
  const kernels::LayerNormForward f{.x = x,
                                    .gamma = gamma,
                                    .beta = beta,
                                    .elu = elu,
                                    .out = e.out,
                                    .mean = e.mean,
                                    .inverse_deviation = e.inverse_deviation};
  kernels::layer_norm_forward(f);
  kernels::layer_norm_backward({.forward = f, .dout = dout, .dx = e.dx, .dgamma = e.dgamma, .dbeta = e.dbeta});
  return e;
}

LayerNormResults layer_norm_of_normal(const Shape& shape, DType dtype, bool elu) {
  const Tensor x = normal(shape, 1, dtype);
  return run_layer_norm(x, normal(sample_of(x), 2, dtype), normal(sample_of(x), 3, dtype), normal(shape, 4, dtype),
                        elu);
}

/// The formulas of the header, as they stand there, in double.
LayerNormResults plain_layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& dout,
                                  bool elu) {
  const std::int64_t size = gamma.numel();
  const auto per_sample = [&] { return Tensor({x.dim(0)}, DType::f64); };
  LayerNormResults e{empty_like(x), per_sample(), per_sample(), empty_like(x), zeros_like(gamma), zeros_like(gamma)};
  std::vector<double> z(static_cast<std::size_t>(size));
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    const double* from = x.data<double>() + n * size;
    const double* d = dout.data<double>() + n * size;
    double mean = 0;
    double variance = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      z[static_cast<std::size_t>(i)] = elu && from[i] < 0 ? std::expm1(from[i]) : from[i];
      mean += z[static_cast<std::size_t>(i)] / static_cast<double>(size);
    }
    for (const double value : z) {
      variance += (value - mean) * (value - mean) / static_cast<double>(size);
    }
    const double inverse = 1 / std::sqrt(variance + 1e-3);
    double mean_g = 0;
    double mean_product = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      const double g = d[i] * gamma.data<double>()[i];
      mean_g += g / static_cast<double>(size);
      mean_product += g * (z[static_cast<std::size_t>(i)] - mean) * inverse / static_cast<double>(size);
    }
    for (std::int64_t i = 0; i < size; ++i) {
      const double normal = (z[static_cast<std::size_t>(i)] - mean) * inverse;
      const double dz = inverse * (d[i] * gamma.data<double>()[i] - mean_g - normal * mean_product);
      e.out.mutable_data<double>()[n * size + i] = gamma.data<double>()[i] * normal + beta.data<double>()[i];
      e.dx.mutable_data<double>()[n * size + i] = elu && from[i] < 0 ? dz * std::exp(from[i]) : dz;
      e.dgamma.mutable_data<double>()[i] += d[i] * normal;
      e.dbeta.mutable_data<double>()[i] += d[i];
    }
    e.mean.mutable_data<double>()[n] = mean;
    e.inverse_deviation.mutable_data<double>()[n] = inverse;
  }
  return e;
}

void expect_close(const LayerNormResults& got, const LayerNormResults& want, double most, double most_of_sums,
                  const std::string& what) {
  EXPECT_LT(largest_difference(got.out, want.out), most) << what;
  EXPECT_LT(largest_difference(got.mean, want.mean), most) << what;
  EXPECT_LT(largest_difference(got.inverse_deviation, want.inverse_deviation), most) << what;
  EXPECT_LT(largest_difference(got.dx, want.dx), most) << what;
  EXPECT_LT(largest_difference(got.dgamma, want.dgamma), most_of_sums) << what;
  EXPECT_LT(largest_difference(got.dbeta, want.dbeta), most_of_sums) << what;
}

TEST(LayerNorm, MatchesTheDefinition) {
  for (const bool elu : {false, true}) {
    for (const Shape& shape : {Shape{1, 1, 2}, Shape{3, 5, 7, 3}, Shape{2, 4, 16}, Shape{40, 3, 11}, Shape{2, 4097}}) {
      const Tensor x = normal(shape, 1);
      const Shape sample = sample_of(x);
      const LayerNormResults want = plain_layer_norm(x, normal(sample, 2), normal(sample, 3), normal(shape, 4), elu);
      expect_close(layer_norm_of_normal(shape, DType::f64, elu), want, 1e-11, 1e-11, str(shape, elu));
      expect_close(layer_norm_of_normal(shape, DType::f32, elu), want, 5e-5, 2e-4, str("float ", shape, elu));
    }
  }
}

TEST(LayerNorm, FloatSurvivesALargeMean) {
  // The mean of squares minus the square of the mean would keep no digit of a variance of 1 beside 1e8.
  const Tensor x = normal({2, 100001}, 2, DType::f32, 1e4);
  const Tensor ones = Tensor::full({100001}, 1);
  const LayerNormResults e = run_layer_norm(x, ones, ones, x, false);
  EXPECT_NEAR(e.mean.data<float>()[1], 1e4, 0.05);
  EXPECT_NEAR(e.inverse_deviation.data<float>()[1], 1, 0.02);
}

TEST(LayerNorm, GivesTheSameBitsOnAnyNumberOfThreads) {
  std::vector<LayerNormResults> results;
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(layer_norm_of_normal({7, 33, 301}, DType::f32, true));
  }
  set_num_threads(before);
  for (const LayerNormResults& r : results) {
    EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.dx, results[0].dx) &&
                same_bits(r.dgamma, results[0].dgamma) && same_bits(r.dbeta, results[0].dbeta));
  }
}

TEST(LayerNorm, KeepsNaNInItsSample) {
  const Tensor x = normal({3, 4}, 1, DType::f32);
  x.mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  const Tensor ones = Tensor::full({4}, 1);
  const LayerNormResults e = run_layer_norm(x, ones, ones, normal({3, 4}, 2, DType::f32), true);
  EXPECT_TRUE(std::isnan(e.out.data<float>()[4])) << "its sample";
  EXPECT_TRUE(std::isnan(e.dx.data<float>()[7]));
  EXPECT_FALSE(std::isnan(e.out.data<float>()[0])) << "another sample";
  EXPECT_FALSE(std::isnan(e.dx.data<float>()[11]));
  EXPECT_TRUE(std::isnan(e.dgamma.data<float>()[1]));
}

TEST(LayerNorm, InfinityComesThroughAsNaN) {
  const Tensor x = normal({2, 5}, 1, DType::f32);
  x.mutable_data<float>()[3] = std::numeric_limits<float>::infinity();
  const Tensor ones = Tensor::full({5}, 1);
  EXPECT_TRUE(std::isnan(run_layer_norm(x, ones, ones, x, false).out.data<float>()[0]));
}

TEST(LayerNorm, TheGradientMayOverwriteWhatItIsGiven) {
  const Shape shape{3, 5, 7};
  const LayerNormResults want = layer_norm_of_normal(shape, DType::f32, true);
  const Tensor x = normal(shape, 1, DType::f32);
  const Tensor gamma = normal(sample_of(x), 2, DType::f32);
  const Tensor dout = normal(shape, 4, DType::f32);
  const kernels::LayerNormForward f{.x = x,
                                    .gamma = gamma,
                                    .beta = gamma,
                                    .elu = true,
                                    .out = {},
                                    .mean = want.mean,
                                    .inverse_deviation = want.inverse_deviation};
  kernels::layer_norm_backward(
      {.forward = f, .dout = dout, .dx = dout, .dgamma = empty_like(gamma), .dbeta = empty_like(gamma)});
  EXPECT_EQ(std::memcmp(dout.raw(), want.dx.raw(), dout.bytes()), 0);
}

TEST(LayerNorm, NoSamplesHaveNoGradient) {
  const LayerNormResults e = layer_norm_of_normal({0, 6}, DType::f32, true);
  EXPECT_EQ(e.out.shape(), (Shape{0, 6}));
  EXPECT_EQ(largest_difference(e.dgamma, Tensor::zeros({6})), 0);
  EXPECT_EQ(largest_difference(e.dbeta, Tensor::zeros({6})), 0);
}

TEST(LayerNorm, RefusesWhatDoesNotFit) {
  const Tensor x({4, 3});
  const Tensor ones({3});
  EXPECT_THROW(run_layer_norm(Tensor({4}), Tensor(Shape{}), Tensor(Shape{}), Tensor({4}), false), Error)
      << "no samples";
  EXPECT_THROW(run_layer_norm(Tensor({4, 0}), Tensor({0}), Tensor({0}), Tensor({4, 0}), false), Error)
      << "nothing to normalise";
  EXPECT_THROW(run_layer_norm(x, Tensor({2}), ones, x, false), Error);
  EXPECT_THROW(run_layer_norm(x, Tensor({3}, DType::f64), ones, x, false), Error);
  EXPECT_THROW(run_layer_norm(x, ones, ones, Tensor({3, 4}), false), Error);
}

}  // namespace
}  // namespace earmark
