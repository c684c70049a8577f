// Proposals: tracks, starts, votes and the bits of the sums must be the CPU's.
#include "kernels/vote.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "kernels/random.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuVote : public GpuTest {};

struct Votes {
  std::vector<std::int64_t> counts;
  std::vector<Tensor> tracks, starts, votes, sums;  // of each query
};

/// Of query 0, which is all rows; of the first half and of the second, which overlap; and of none.
Votes vote(const Tensor& hits, const Tensor& similarities, const Tensor& track_rows, int ratio) {
  const std::int64_t m = hits.dim(0);
  const std::int64_t k = hits.dim(1);
  const std::vector<std::int64_t> ranges{0, m, 0, (m + 1) / 2, m, m, m / 3, m};
  const Tensor queries = Tensor::from<std::int64_t>({4, 2}, ranges);
  const std::int64_t n = kernels::most_proposals(queries, k);
  const Device device = hits.device();
  const Tensor counts({4}, DType::i64, device);
  const Tensor tracks({n}, DType::i64, device);
  const Tensor starts({n}, DType::i64, device);
  const Tensor votes({n}, DType::i32, device);
  const Tensor sums({n}, DType::f32, device);
  kernels::offset_vote({hits, similarities, queries, track_rows, ratio, counts, tracks, starts, votes, sums});
  Votes out;
  std::int64_t first = 0;
  for (std::size_t q = 0; q < 4; ++q) {
    out.counts.push_back(counts.to(Device{}).data<std::int64_t>()[q]);
    // What lies behind a query's proposals was never written.
    const auto written = [&](const Tensor& t) { return t.slice(first, first + out.counts.back()).to(Device{}); };
    out.tracks.push_back(written(tracks));
    out.starts.push_back(written(starts));
    out.votes.push_back(written(votes));
    out.sums.push_back(written(sums));
    first += (ranges[2 * q + 1] - ranges[2 * q]) * k;
  }
  return out;
}

void expect_same(const Tensor& hits, const Tensor& track_rows, int ratio) {
  const Tensor similarities = draw(hits.shape(), Domain::normal, DType::f32, 5);
  const Votes want = vote(hits, similarities, track_rows, ratio);
  const Votes got = vote(hits.to(kGpu), similarities.to(kGpu), track_rows, ratio);
  ASSERT_EQ(got.counts, want.counts) << hits.shape();
  for (std::size_t q = 0; q < want.counts.size(); ++q) {
    const auto same = [&](const Tensor& a, const Tensor& b) {
      return a.bytes() == b.bytes() && (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
    };
    EXPECT_TRUE(same(got.tracks[q], want.tracks[q])) << "tracks of query " << q << ", hits " << hits.shape();
    EXPECT_TRUE(same(got.starts[q], want.starts[q])) << "starts of query " << q << ", hits " << hits.shape();
    EXPECT_TRUE(same(got.votes[q], want.votes[q])) << "votes of query " << q << ", hits " << hits.shape();
    EXPECT_TRUE(same(got.sums[q], want.sums[q])) << "sums of query " << q << ", hits " << hits.shape();
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

/// More than a block has threads, so that hits of one query meet those of many tiles; and one place of them all.
TEST_F(GpuVote, AQueryMayHaveMoreHitsThanABlock) {
  const Tensor track_rows = Tensor::from<std::int64_t>({4}, std::array<std::int64_t, 4>{0, 17, 30, 90});
  expect_same(draw_hits(241, 5, 90), track_rows, 2);
  expect_same(draw_hits(26, 40, 90), track_rows, 1);
  expect_same(Tensor::full({1, 1030}, 3, DType::i64), track_rows, 1);
}

TEST_F(GpuVote, RefusesHitsOutside) {
  const Tensor track_rows = Tensor::from<std::int64_t>({2}, std::array<std::int64_t, 2>{0, 5}, kGpu);
  EXPECT_THROW(
      vote(Tensor::full({1, 1}, 5, DType::i64, kGpu), Tensor::full({1, 1}, 1, DType::f32, kGpu), track_rows, 1), Error);
}

}  // namespace
}  // namespace earmark::testing
