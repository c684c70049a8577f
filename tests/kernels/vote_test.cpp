#include "kernels/vote.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "kernels/error.h"

namespace earmark::kernels {
namespace {

using Proposal = std::tuple<std::int64_t, std::int64_t, int, float>;  // track, start, votes, sum

std::vector<Proposal> vote(std::int64_t k, const std::vector<std::int64_t>& hits,
                           const std::vector<float>& similarities, const std::vector<std::int64_t>& track_rows,
                           int ratio = 1) {
  const auto count = static_cast<std::int64_t>(hits.size());
  OffsetVote args{Tensor::from<std::int64_t>({count / k, k}, hits),
                  Tensor::from<float>({count / k, k}, similarities),
                  Tensor::from<std::int64_t>({static_cast<std::int64_t>(track_rows.size())}, track_rows),
                  ratio,
                  Tensor({count}, DType::i64),
                  Tensor({count}, DType::i64),
                  Tensor({count}, DType::i32),
                  Tensor({count})};
  const std::int64_t found = offset_vote(args);
  std::vector<Proposal> proposals;
  for (std::int64_t i = 0; i < found; ++i) {
    proposals.emplace_back(args.tracks.data<std::int64_t>()[i], args.starts.data<std::int64_t>()[i],
                           args.votes.data<std::int32_t>()[i], args.sums.data<float>()[i]);
  }
  return proposals;
}

TEST(OffsetVoteTest, CountsHitsThatAgree) {
  // Query rows 0, 1, 2 hit rows 4, 5, 6: all propose start 4.
  EXPECT_EQ(vote(1, {4, 5, 6}, {0.5F, 0.25F, 1}, {0, 10}), (std::vector<Proposal>{{0, 4, 3, 1.75F}}));
}

TEST(OffsetVoteTest, SequencesDoNotStraddleTracks) {
  // The same start 4, but row 5 belongs to another track.
  EXPECT_EQ(vote(1, {4, 5, 6}, {1, 1, 1}, {0, 5, 10}), (std::vector<Proposal>{{0, 4, 1, 1}, {1, 4, 2, 2}}));
}

TEST(OffsetVoteTest, SortsByTrackAndStartAndSkipsMissingHits) {
  EXPECT_EQ(vote(2, {7, -1, 1, 8}, {1, 9, 2, 3}, {0, 5, 10}), (std::vector<Proposal>{{0, 0, 1, 2}, {1, 7, 2, 4}}));
}

TEST(OffsetVoteTest, StartsMayLieBeforeTheTrack) {
  EXPECT_EQ(vote(1, {-1, -1, 0}, {0, 0, 1}, {0, 5}), (std::vector<Proposal>{{0, -2, 1, 1}}));
}

TEST(OffsetVoteTest, FinerQueryHopCountsFineSteps) {
  // Two query rows per database hop: rows 0, 2 hit 3, 4, and row 1 hits 3 as well.
  EXPECT_EQ(vote(1, {3, 3, 4}, {1, 1, 1}, {0, 5}, 2), (std::vector<Proposal>{{0, 5, 1, 1}, {0, 6, 2, 2}}));
}

TEST(OffsetVoteTest, NoHitsNoProposals) { EXPECT_TRUE(vote(1, {-1, -1}, {0, 0}, {0, 5}).empty()); }

TEST(OffsetVoteTest, RefusesHitsOutside) { EXPECT_THROW(vote(1, {5}, {0}, {0, 5}), Error); }

}  // namespace
}  // namespace earmark::kernels
