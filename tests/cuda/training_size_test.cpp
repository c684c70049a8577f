// Operations at the sizes that training uses (fewer samples), and NT-Xent over as many embeddings as it is made for.
// The simulator that checks every access leaves these out: it is too slow for them.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/nt_xent.h"
#include "tests/cuda/op_results.h"

namespace earmark::testing {
namespace {

class AtTheSizeOfTraining : public GpuTestWithParam<OpCase> {};

TEST_P(AtTheSizeOfTraining, ErrsAtMostTwiceAsMuchAsTheCpu) {
  const OpCase& c = GetParam();
  expect_as_exact(op_results(c, DType::f64, {}), op_results(c, DType::f32, {}), op_results(c, DType::f32, kGpu), 1e-7);
}

/// The cases that have large inputs, with those as their inputs: two samples of each map.
std::vector<OpCase> large_cases() {
  std::vector<OpCase> all;
  for (OpCase c : op_cases()) {
    if (c.large.empty()) {
      continue;
    }
    for (Shape& shape : c.large) {
      if (shape.rank() == 4 && shape[0] == 64) {
        shape = shape.with_leading(2);
      }
    }
    c.inputs = c.large;
    all.push_back(c);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Ops, AtTheSizeOfTraining, ::testing::ValuesIn(large_cases()),
                         [](const auto& param) { return test_name(param.param); });

/// 16,384 views against each other: the loss and the gradients of the first rows are their definition's, and the matrix
/// of similarities, which would be a gigabyte, is never in memory.
class NtXentOverABigBatch : public GpuTest {
 protected:
  static constexpr std::int64_t kViews = 16384;
  static constexpr std::int64_t kColumns = 2;
  static constexpr double kTemperature = 0.5;

  double similarity(std::int64_t a, std::int64_t b) const {
    const auto* x = embeddings_.data<float>();
    double sum = 0;
    for (std::int64_t k = 0; k < kColumns; ++k) {
      sum += static_cast<double>(x[a * kColumns + k]) * x[b * kColumns + k];
    }
    return sum / kTemperature;
  }
  double logsumexp(std::int64_t row) const {
    double sum = 0;
    for (std::int64_t other = 0; other < kViews; ++other) {
      sum += other == row ? 0 : std::exp(similarity(row, other));
    }
    return std::log(sum);
  }

  /// Of the loss, with respect to one anchor: element k.
  double gradient(std::int64_t row, std::int64_t k) const {
    const auto* x = embeddings_.data<float>();
    const double sum = logsumexp(row);
    double gradient = -x[positive(row) * kColumns + k];
    for (std::int64_t other = 0; other < kViews; ++other) {
      gradient += other == row ? 0 : std::exp(similarity(row, other) - sum) * x[other * kColumns + k];
    }
    return gradient / (kTemperature * kViews);
  }
  static std::int64_t positive(std::int64_t row) { return (row + kViews / 2) % kViews; }

  Tensor embeddings_ = draw({kViews, kColumns}, Domain::unit_rows, DType::f32, 5);
};

TEST_F(NtXentOverABigBatch, IsTheDefinitionWithoutTheMatrix) {
  const Tensor keys = embeddings_.to(kGpu);
  const std::size_t before = kernels::cuda::memory_use().peak;
  const kernels::NtXent forward{.anchors = keys,
                                .keys = keys,
                                .temperature = kTemperature,
                                .loss = Tensor({}, DType::f32, kGpu),
                                .top1 = Tensor({}, DType::f32, kGpu),
                                .logsumexp = Tensor({kViews}, DType::f32, kGpu)};
  kernels::nt_xent(forward);
  const kernels::NtXentBackward backward{forward, Tensor::full({}, 1, DType::f32, kGpu), empty_like(keys),
                                         empty_like(keys)};
  kernels::nt_xent_backward(backward);
  const Tensor sums = on_cpu(forward.logsumexp);
  const Tensor gradients = on_cpu(backward.danchors);
  double loss = 0;
  for (std::int64_t row = 0; row < kViews; ++row) {
    loss += (sums.data<double>()[row] - similarity(row, positive(row))) / kViews;
  }
  for (const std::int64_t row : {0L, 1L, 8191L, 8192L, kViews - 1}) {
    EXPECT_NEAR(sums.data<double>()[row], logsumexp(row), 1e-5) << row;
    for (std::int64_t k = 0; k < kColumns; ++k) {
      EXPECT_NEAR(gradients.data<double>()[row * kColumns + k], gradient(row, k), 1e-5 / kViews) << row << ", " << k;
    }
  }
  EXPECT_NEAR(forward.loss.item(), loss, 1e-5 * loss);
  EXPECT_LT(kernels::cuda::memory_use().peak - before, kViews * kViews / 8) << "bytes";
}

}  // namespace
}  // namespace earmark::testing
