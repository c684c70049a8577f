// Batch normalisation where the op cases do not look: running statistics, large means, the border between vectors and
// single channels, NaN, folding.
#include "kernels/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/compute_type.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuBatchNorm : public GpuTest {};

struct Statistics {
  Tensor mean, inverse_deviation, running_mean, running_variance;
};

Statistics statistics_of(const Tensor& x) {
  const Shape channels{x.dim(-1)};
  const auto make = [&](double value) { return Tensor::full(channels, value, compute_type(x.dtype()), x.device()); };
  const Statistics s{make(0), make(0), make(2), make(3)};
  kernels::batch_norm_statistics({.x = x,
                                  .running_mean = s.running_mean,
                                  .running_variance = s.running_variance,
                                  .mean = s.mean,
                                  .inverse_deviation = s.inverse_deviation});
  return s;
}

/// Rows and channels around every border of the kernels: vectors, width of a block, rows of a block, number of parts.
TEST_F(GpuBatchNorm, StatisticsAreTheCpusInDouble) {
  for (const std::int64_t channels : {1, 3, 4, 16, 20, 33, 136}) {
    for (const std::int64_t rows : {1, 2, 31, 257, 3000}) {
      for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
        const Tensor x = draw({rows, channels}, Domain::normal, dtype, 3);
        const Statistics want = statistics_of(x.to(DType::f64));
        const Statistics got = statistics_of(x.to(kGpu));
        const double slack = dtype == DType::f64 ? 1e-12 : 1e-6;
        EXPECT_LT(largest_difference(got.mean, want.mean), slack) << rows << " x " << channels;
        EXPECT_LT(largest_difference(got.running_mean, want.running_mean), slack) << rows << " x " << channels;
        EXPECT_LT(largest_difference(got.running_variance, want.running_variance), slack) << rows << " x " << channels;
        const double largest = rows == 1 ? 1 / std::sqrt(1e-5) : 30;
        EXPECT_LT(largest_difference(got.inverse_deviation, want.inverse_deviation), largest * slack)
            << rows << " x " << channels;
      }
    }
  }
}

TEST_F(GpuBatchNorm, ALargeMeanCostsNothing) {
  const Tensor x = draw({20000, 1}, Domain::normal, DType::f64, 2);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<double>()[i] += 1e8;
  }
  const Statistics want = statistics_of(x);
  const Statistics got = statistics_of(x.to(kGpu));
  EXPECT_LT(largest_difference(got.mean, want.mean), 1e-6) << "the CPU's own error: values of 1e8 keep 1e-8";
  EXPECT_LT(largest_difference(got.inverse_deviation, want.inverse_deviation), 1e-8);
}

TEST_F(GpuBatchNorm, AConstantChannelHasNoVariance) {
  const Statistics s = statistics_of(Tensor::full({999, 8}, 0.1, DType::f32, kGpu));
  EXPECT_EQ(largest_difference(s.mean, Tensor::full({8}, 0.1)), 0);
  EXPECT_LT(largest_difference(s.inverse_deviation, Tensor::full({8}, 1 / std::sqrt(1e-5))), 1e-4);
}

TEST_F(GpuBatchNorm, MergedMomentsAreTheStatisticsOfAllRows) {
  for (const std::int64_t channels : {1, 16, 300}) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      const Tensor x = draw({3 * 257, channels}, Domain::normal, dtype, 3);
      const Tensor moments({3, 2, channels}, DType::f64, kGpu);
      for (std::int64_t part = 0; part < 3; ++part) {
        kernels::batch_norm_moments(x.slice(part * 257, (part + 1) * 257).to(kGpu),
                                    moments.slice(part, part + 1).reshape({2, channels}));
      }
      const auto make = [&](double value) { return Tensor::full({channels}, value, compute_type(dtype), kGpu); };
      const Statistics got{make(0), make(0), make(2), make(3)};
      kernels::batch_norm_merge(moments, 257,
                                {.x = {},
                                 .running_mean = got.running_mean,
                                 .running_variance = got.running_variance,
                                 .mean = got.mean,
                                 .inverse_deviation = got.inverse_deviation});
      const Statistics want = statistics_of(x.to(DType::f64));
      const double slack = dtype == DType::f64 ? 1e-12 : 1e-6;
      EXPECT_LT(largest_difference(got.mean, want.mean), slack);
      EXPECT_LT(largest_difference(got.inverse_deviation, want.inverse_deviation), 10 * slack);
      EXPECT_LT(largest_difference(got.running_mean, want.running_mean), slack);
      EXPECT_LT(largest_difference(got.running_variance, want.running_variance), 10 * slack);
    }
  }
}

struct Results {
  Tensor out, dx, dgamma, dbeta;
};

Results run(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& dout, bool training) {
  const Statistics s = statistics_of(x);
  const Results r{empty_like(x), empty_like(x), empty_like(gamma), empty_like(beta)};
  const kernels::BatchNormForward f{.x = x,
                                    .mean = s.mean,
                                    .inverse_deviation = s.inverse_deviation,
                                    .gamma = gamma,
                                    .beta = beta,
                                    .relu = true,
                                    .out = r.out};
  kernels::batch_norm_forward(f);
  kernels::batch_norm_backward(
      {.forward = f, .training = training, .dout = dout, .dx = r.dx, .dgamma = r.dgamma, .dbeta = r.dbeta});
  return r;
}

TEST_F(GpuBatchNorm, GradientSumsAloneAreThoseOfBackward) {
  const Tensor x = draw({700, 24}, Domain::normal, DType::f32, 1).to(kGpu);
  const Tensor ones = Tensor::full({24}, 1, DType::f32, kGpu);
  const Results want = run(x, ones, ones, x, true);
  const Statistics s = statistics_of(x);
  const Results got{{}, {}, empty_like(ones), empty_like(ones)};
  kernels::batch_norm_gradient_sums({.forward = {.x = x,
                                                 .mean = s.mean,
                                                 .inverse_deviation = s.inverse_deviation,
                                                 .gamma = ones,
                                                 .beta = ones,
                                                 .relu = true,
                                                 .out = {}},
                                     .dout = x,
                                     .dx = {},
                                     .dgamma = got.dgamma,
                                     .dbeta = got.dbeta});
  EXPECT_EQ(largest_difference(got.dgamma, want.dgamma), 0);
  EXPECT_EQ(largest_difference(got.dbeta, want.dbeta), 0);
}

/// Slices that begin off the 16-byte grid take the kernels' other path.
TEST_F(GpuBatchNorm, VectorsAndSingleChannelsAgreeWithTheCpu) {
  constexpr std::int64_t kChannels = 24;  // whole vectors, but no power of two
  const Tensor gamma = draw({kChannels}, Domain::positive, DType::f64, 2);
  const Tensor beta = draw({kChannels}, Domain::normal, DType::f64, 3);
  const auto narrow = [](const Tensor& t) { return t.to(DType::f32).to(kGpu); };
  for (const DType stored : {DType::f32, DType::bf16}) {
    const double slack = stored == DType::f32 ? 3e-6 : 8.0 / 512;  // half a unit in the last place of up to 8
    for (const bool training : {true, false}) {
      for (const std::int64_t skipped : {0, 1}) {
        const Tensor x = draw({skipped + 700 * kChannels}, Domain::normal, stored, 1);
        const Tensor dout = draw({700, kChannels}, Domain::normal, stored, 4);
        const auto rows = [&](const Tensor& t) { return t.slice(skipped, t.numel()).reshape({700, kChannels}); };
        const Results want = run(rows(x.to(DType::f64)), gamma, beta, dout.to(DType::f64), training);
        const Results got = run(rows(x.to(kGpu)), narrow(gamma), narrow(beta), dout.to(kGpu), training);
        EXPECT_LT(largest_difference(got.out, want.out), slack);
        EXPECT_LT(largest_difference(got.dx, want.dx), slack);
        EXPECT_LT(largest_difference(got.dgamma, want.dgamma), 2e-4);
        EXPECT_LT(largest_difference(got.dbeta, want.dbeta), 2e-4);
      }
    }
  }
}

TEST_F(GpuBatchNorm, LetsNaNThrough) {
  const Tensor x = draw({8, 4}, Domain::normal, DType::f32, 1);
  x.mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  const Tensor ones = Tensor::full({4}, 1, DType::f32, kGpu);
  const Results r = run(x.to(kGpu), ones, ones, x.to(kGpu), true);
  EXPECT_TRUE(std::isnan(r.out.to(Device{}).data<float>()[1])) << "its channel";
  EXPECT_FALSE(std::isnan(r.out.to(Device{}).data<float>()[0])) << "another channel";
  EXPECT_TRUE(std::isnan(r.dgamma.to(Device{}).data<float>()[1]));
}

TEST_F(GpuBatchNorm, NothingHasNoGradient) {
  const Tensor x({0, 4}, DType::f32, kGpu);
  const Tensor ones = Tensor::full({4}, 1, DType::f32, kGpu);
  const kernels::BatchNormForward f{
      .x = x, .mean = ones, .inverse_deviation = ones, .gamma = ones, .beta = ones, .out = empty_like(x)};
  kernels::batch_norm_forward(f);
  const Tensor sums = Tensor::full({4}, 7, DType::f32, kGpu);
  kernels::batch_norm_backward({.forward = f, .dout = x, .dx = empty_like(x), .dgamma = sums, .dbeta = sums});
  EXPECT_EQ(largest_difference(sums, Tensor::zeros({4})), 0);
}

TEST_F(GpuBatchNorm, FoldsAsTheCpu) {
  for (const bool with_bias : {true, false}) {
    const auto fold = [&](Device device) {
      const auto vector = [&](Domain domain, std::uint64_t seed) {
        return draw({5}, domain, DType::f32, seed).to(device);
      };
      const Tensor weight = draw({5, 3, 3, 7}, Domain::normal, DType::f32, 1).to(device);
      const kernels::FoldBatchNorm f{.weight = weight,
                                     .bias = with_bias ? vector(Domain::normal, 2) : Tensor(),
                                     .gamma = vector(Domain::normal, 3),
                                     .beta = vector(Domain::normal, 4),
                                     .running_mean = vector(Domain::normal, 5),
                                     .running_variance = vector(Domain::positive, 6),
                                     .folded_weight = empty_like(weight),
                                     .folded_bias = Tensor({5}, DType::f32, device)};
      kernels::fold_batch_norm(f);
      return f;
    };
    const kernels::FoldBatchNorm want = fold({});
    const kernels::FoldBatchNorm got = fold(kGpu);
    EXPECT_LT(largest_difference(got.folded_weight, want.folded_weight), 1e-6);
    EXPECT_LT(largest_difference(got.folded_bias, want.folded_bias), 1e-6);
  }
}

}  // namespace
}  // namespace earmark::testing
