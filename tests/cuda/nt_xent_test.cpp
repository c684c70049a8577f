// NT-Xent at the size that training uses, and at extents around every border of the tiles.
#include "kernels/nt_xent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::NtXent;
using kernels::NtXentBackward;

class GpuNtXent : public GpuTest {};

/// `anchors` unit rows of `d` columns, from row `offset` on of `keys` of them.
struct Problem {
  std::int64_t anchors;
  std::int64_t keys;
  std::int64_t offset;
  std::int64_t d;
  double temperature;
};

/// Unit rows in double; a second view leans towards the first one.
Tensor embeddings(const Problem& p) {
  const Tensor all = draw({p.keys, p.d}, Domain::unit_rows, DType::f64, 3);
  double* row = all.mutable_data<double>() + p.offset * p.d;
  const std::int64_t half = p.anchors / 2 * p.d;
  for (std::int64_t i = half; i < 2 * half; i += p.d) {
    double square = 0;
    for (std::int64_t k = i; k < i + p.d; ++k) {
      row[k] += 0.3 * row[k - half];
      square += row[k] * row[k];
    }
    std::for_each(row + i, row + i + p.d, [&](double& v) { v /= std::sqrt(square); });
  }
  return all;
}

NtXentBackward run(const Problem& p, const Tensor& embeddings, DType dtype, Device device) {
  const Tensor keys = embeddings.to(dtype).to(device);
  const NtXent forward{.anchors = keys.slice(p.offset, p.offset + p.anchors),
                       .keys = keys,
                       .offset = p.offset,
                       .temperature = p.temperature,
                       .loss = Tensor({}, dtype, device),
                       .top1 = Tensor({}, dtype, device),
                       .logsumexp = Tensor({p.anchors}, dtype, device)};
  kernels::nt_xent(forward);
  const NtXentBackward backward{forward, Tensor::full({}, 1.5, dtype, device), empty_like(forward.anchors),
                                empty_like(keys)};
  kernels::nt_xent_backward(backward);
  return backward;
}

/// Against the CPU in double: floats within 2e-6 of what the results are differences of, doubles within 1e-14. Of a
/// gradient that is the pull of each positive, a vector of length dloss / (anchors tau).
void expect_equal_to_the_cpu(const Problem& p) {
  SCOPED_TRACE(str(p.anchors, " of ", p.keys, " from ", p.offset, " on, ", p.d, " columns"));
  const Tensor all = embeddings(p);
  const double rows = std::sqrt(static_cast<double>(p.anchors));
  const double pull = 1.5 / (rows * p.temperature);
  const NtXentBackward want = run(p, all, DType::f64, {});
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double slack = dtype == DType::f32 ? 2e-6 : 1e-14;
    const NtXentBackward got = run(p, all, dtype, kGpu);
    EXPECT_NEAR(got.forward.loss.item(), want.forward.loss.item(), slack * (1 + want.forward.loss.item()));
    EXPECT_NEAR(got.forward.top1.item(), want.forward.top1.item(), 1e-6);
    EXPECT_LE(distance(got.forward.logsumexp, want.forward.logsumexp), slack * 10 * rows);
    EXPECT_LE(distance(got.danchors, want.danchors), slack * pull);
    EXPECT_LE(distance(got.dkeys, want.dkeys), slack * pull);
  }
}

TEST_F(GpuNtXent, TrainingsSize) { expect_equal_to_the_cpu({512, 512, 0, 128, 0.1}); }

TEST_F(GpuNtXent, OneRankOfSeveral) { expect_equal_to_the_cpu({128, 320, 128, 64, 0.05}); }

TEST_F(GpuNtXent, AroundTheBordersOfTiles) {
  expect_equal_to_the_cpu({64, 64, 0, 32, 0.2});
  expect_equal_to_the_cpu({66, 131, 63, 33, 0.2});
  expect_equal_to_the_cpu({2, 65, 63, 130, 0.2});
  expect_equal_to_the_cpu({62, 63, 1, 1, 0.5});
}

/// The keys alone are blocks enough: their gradient has one part, which is written to its place at once.
TEST_F(GpuNtXent, SoManyKeysThatTheAnchorsAreNotSplit) { expect_equal_to_the_cpu({4, 16899, 16000, 3, 0.2}); }

TEST_F(GpuNtXent, SameBitsEveryTime) {
  const Problem p{130, 200, 40, 70, 0.1};
  const Tensor all = embeddings(p);
  const NtXentBackward first = run(p, all, DType::f32, kGpu);
  const NtXentBackward again = run(p, all, DType::f32, kGpu);
  const auto same = [](const Tensor& a, const Tensor& b) {
    return std::memcmp(a.to(Device{}).raw(), b.to(Device{}).raw(), a.bytes()) == 0;
  };
  EXPECT_TRUE(same(first.forward.loss, again.forward.loss));
  EXPECT_TRUE(same(first.danchors, again.danchors));
  EXPECT_TRUE(same(first.dkeys, again.dkeys));
}

TEST_F(GpuNtXent, OneNaNEmbeddingMakesTheLossNaN) {
  const Problem p{130, 130, 0, 4, 0.1};
  for (const std::int64_t broken : {0, 5, 129}) {
    const Tensor all = embeddings(p);
    all.mutable_data<double>()[broken * 4 + 2] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(std::isnan(run(p, all, DType::f32, kGpu).forward.loss.item())) << broken;
  }
}

/// All anchors at one place, at the coldest temperature: log of the others, without overflow; a tie is no answer.
TEST_F(GpuNtXent, IdenticalEmbeddings) {
  const Problem p{130, 130, 0, 4, 0.01};
  const NtXentBackward got = run(p, Tensor::full({130, 4}, 0.5, DType::f64), DType::f32, kGpu);
  EXPECT_NEAR(got.forward.loss.item(), std::log(129.0), 2e-5);
  EXPECT_EQ(got.forward.top1.item(), 0);
}

}  // namespace
}  // namespace earmark::testing
