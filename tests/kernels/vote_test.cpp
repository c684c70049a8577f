#include "kernels/vote.h"

#include <gtest/gtest.h>

#include <array>
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
                  Tensor::from<std::int64_t>({1, 2}, std::array<std::int64_t, 2>{0, count / k}),
                  Tensor::from<std::int64_t>({static_cast<std::int64_t>(track_rows.size())}, track_rows),
                  ratio,
                  Tensor({1}, DType::i64),
                  Tensor({count}, DType::i64),
                  Tensor({count}, DType::i64),
                  Tensor({count}, DType::i32),
                  Tensor({count})};
  offset_vote(args);
  const std::int64_t found = args.counts.data<std::int64_t>()[0];
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

TEST(OffsetVoteTest, QueriesVoteForThemselvesAndMayShareRows) {
  const std::array<std::int64_t, 8> hits{4, 5, 6, 7, 2, -1, 9, 9};
  const Tensor similarities = Tensor::full({4, 2}, 1);
  // Of four rows: the first two, none, all, the last.
  const Tensor queries = Tensor::from<std::int64_t>({4, 2}, std::array<std::int64_t, 8>{0, 2, 3, 3, 0, 4, 3, 4});
  EXPECT_EQ(most_proposals(queries, 2), 14);
  const OffsetVote args{Tensor::from<std::int64_t>({4, 2}, hits),
                        similarities,
                        queries,
                        Tensor::from<std::int64_t>({2}, std::array<std::int64_t, 2>{0, 10}),
                        1,
                        Tensor({4}, DType::i64),
                        Tensor({14}, DType::i64),
                        Tensor({14}, DType::i64),
                        Tensor({14}, DType::i32),
                        Tensor(Shape{14})};
  offset_vote(args);
  using Integers = std::vector<std::int64_t>;
  const auto of = [&](const Tensor& t, std::int64_t begin, std::int64_t end) {
    const auto values = t.values<std::int64_t>();
    return Integers(values.begin() + begin, values.begin() + end);
  };
  EXPECT_EQ(of(args.counts, 0, 4), (Integers{3, 0, 4, 1}));
  EXPECT_EQ(of(args.starts, 0, 3), (Integers{4, 5, 6}));     // hits 4 and 5; 6 - 1 and 7 - 1
  EXPECT_EQ(of(args.starts, 4, 8), (Integers{0, 4, 5, 6}));  // and 2 - 2, twice 9 - 3
  EXPECT_EQ(of(args.starts, 12, 13), (Integers{9}));
  EXPECT_EQ(args.votes.data<std::int32_t>()[1], 2);
  EXPECT_EQ(args.votes.data<std::int32_t>()[7], 3);
  EXPECT_EQ(args.sums.data<float>()[12], 2);
}

TEST(OffsetVoteTest, RefusesHitsOutside) { EXPECT_THROW(vote(1, {5}, {0}, {0, 5}), Error); }

}  // namespace
}  // namespace earmark::kernels
