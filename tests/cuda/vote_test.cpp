// Proposals: tracks, starts, votes and the bits of the sums must be the CPU's.
#include "kernels/vote.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/random.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuVote : public GpuTest {};

struct Votes {
  std::int64_t count;
  Tensor tracks, starts, votes, sums;
};

Votes vote(const Tensor& hits, const Tensor& similarities, const Tensor& track_rows, int ratio) {
  const std::int64_t n = hits.numel();
  const Device device = hits.device();
  const Tensor tracks({n}, DType::i64, device);
  const Tensor starts({n}, DType::i64, device);
  const Tensor votes({n}, DType::i32, device);
  const Tensor sums({n}, DType::f32, device);
  const std::int64_t count = kernels::offset_vote({hits, similarities, track_rows, ratio, tracks, starts, votes, sums});
  // What lies behind the proposals was never written.
  const auto written = [count](const Tensor& t) { return t.slice(0, count).to(Device{}); };
  return {count, written(tracks), written(starts), written(votes), written(sums)};
}

void expect_same(const Tensor& hits, const Tensor& track_rows, int ratio) {
  const Tensor similarities = draw(hits.shape(), Domain::normal, DType::f32, 5);
  const Votes want = vote(hits, similarities, track_rows, ratio);
  const Votes got = vote(hits.to(kGpu), similarities.to(kGpu), track_rows, ratio);
  ASSERT_EQ(got.count, want.count) << hits.shape();
  for (std::int64_t i = 0; i < want.count; ++i) {
    EXPECT_EQ(got.tracks.data<std::int64_t>()[i], want.tracks.data<std::int64_t>()[i]) << hits.shape() << ", " << i;
    EXPECT_EQ(got.starts.data<std::int64_t>()[i], want.starts.data<std::int64_t>()[i]) << hits.shape() << ", " << i;
    EXPECT_EQ(got.votes.data<std::int32_t>()[i], want.votes.data<std::int32_t>()[i]) << hits.shape() << ", " << i;
    EXPECT_EQ(got.sums.data<float>()[i], want.sums.data<float>()[i]) << hits.shape() << ", " << i;
  }
}

/// Hits in [-1, rows).
Tensor draw_hits(std::int64_t queries, std::int64_t k, std::int64_t rows) {
  const Tensor hits({queries, k}, DType::i64);
  RandomStream random(11);
  for (std::int64_t i = 0; i < hits.numel(); ++i) {
    hits.mutable_data<std::int64_t>()[i] = static_cast<std::int64_t>(random.bits() % (rows + 1)) - 1;
  }
  return hits;
}

TEST_F(GpuVote, ProposalsAreTheCpus) {
  // An empty track, and tracks that a place would straddle.
  const Tensor track_rows = Tensor::from<std::int64_t>({6}, std::array<std::int64_t, 6>{0, 7, 7, 8, 30, 41});
  for (const int ratio : {1, 2, 3}) {
    expect_same(draw_hits(1, 1, 41), track_rows, ratio);
    expect_same(draw_hits(19, 7, 41), track_rows, ratio);
    expect_same(draw_hits(60, 5, 41), track_rows, ratio);
    expect_same(Tensor::full({3, 2}, -1, DType::i64), track_rows, ratio);
  }
  expect_same(Tensor({0, 4}, DType::i64), track_rows, 1);
}

TEST_F(GpuVote, RefusesHitsOutside) {
  const Tensor track_rows = Tensor::from<std::int64_t>({2}, std::array<std::int64_t, 2>{0, 5}, kGpu);
  EXPECT_THROW(
      vote(Tensor::full({1, 1}, 5, DType::i64, kGpu), Tensor::full({1, 1}, 1, DType::f32, kGpu), track_rows, 1), Error);
}

}  // namespace
}  // namespace earmark::testing
