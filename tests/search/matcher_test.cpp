#include "search/matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/search/planted.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kMatcherTrackRows = 100;

/// Ten tracks of 10 s in two blocks.
class MatcherTest : public ::testing::Test {
 protected:
  Tensor rows_ = random_fingerprints(10 * kMatcherTrackRows, 64, 1);
  Database database_ = planted_database(rows_, kMatcherTrackRows, {4, 6});

  static MatcherOptions options(Method method, Ranking ranking) {
    MatcherOptions options;
    options.method = method;
    options.ranking = ranking;
    options.lsh.tables = 20;
    options.lsh.bits = 10;
    options.lsh.probes = 200;
    return options;
  }
};

TEST_F(MatcherTest, FindsPlantedSequencesWithEveryMethodAndRanking) {
  for (const Method method : {Method::exact, Method::lsh}) {
    for (const Ranking ranking : {Ranking::scored, Ranking::vote, Ranking::vote_track, Ranking::sequence}) {
      const Matcher matcher(database_, options(method, ranking));
      for (const std::int64_t start : {0, 50, 320, 399 - 20, 400, 735, 980}) {
        const Tensor query = noisy(rows_.slice(start, start + 20), 0.7, 3);
        const std::vector<Match> matches = matcher.match(query);
        ASSERT_EQ(matches.size(), 1U);
        EXPECT_EQ(matches[0].track_id, start / kMatcherTrackRows + 1);
        EXPECT_NEAR(matches[0].start_s, static_cast<double>(start % kMatcherTrackRows) / 10, 0.05);
        EXPECT_TRUE(matches[0].matched);
      }
    }
  }
}

/// Unit rows from (x, y, z): the fourth element fills up.
Tensor unit_rows(const std::vector<std::array<float, 3>>& rows) {
  const Tensor out({static_cast<std::int64_t>(rows.size()), 4});
  float* to = out.mutable_data<float>();
  for (const auto& [x, y, z] : rows) {
    *to++ = x;
    *to++ = y;
    *to++ = z;
    *to++ = std::sqrt(1 - x * x - y * y - z * z);
  }
  return out;
}

/// The authors' search (Chang et al., ICASSP 2021) by hand: of all places that a hit proposes, the one whose whole
/// sequence has the highest mean inner product.
TEST(SequenceRanking, TakesTheBestOfWhatHitsPropose) {
  const Tensor query = unit_rows({{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
  const Tensor rows = unit_rows({{1, 0, 0},
                                 {0, 0, 0},
                                 {0, 0, 0},  // (1 + 0 + 0) / 3
                                 {0, 0, 0},
                                 {0, 0.8F, 0},
                                 {0, 0, 0.6F},  // (0 + 0.8 + 0.6) / 3
                                 {0.7F, 0, 0},
                                 {0, 0.7F, 0},
                                 {0, 0, 0.55F}});  // (0.7 + 0.7 + 0.55) / 3
  const Database database = planted_database(rows, 3, {3});
  MatcherOptions options;
  options.ranking = Ranking::sequence;
  options.top = 3;
  options.neighbours = 1;  // the third track is nobody's nearest
  const std::vector<Match> nearest = Matcher(database, options).match(query);
  ASSERT_EQ(nearest.size(), 2U);
  EXPECT_EQ(nearest[0].track_id, 2);
  EXPECT_NEAR(nearest[0].score, 1.4 / 3, 1e-6);
  EXPECT_EQ(nearest[0].votes, 2);
  EXPECT_EQ(nearest[0].start_s, 0);
  EXPECT_EQ(nearest[1].track_id, 1);
  EXPECT_NEAR(nearest[1].score, 1.0 / 3, 1e-6);
  options.neighbours = 2;
  const std::vector<Match> second = Matcher(database, options).match(query);
  ASSERT_EQ(second.size(), 3U);
  EXPECT_EQ(second[0].track_id, 3);
  EXPECT_NEAR(second[0].score, 1.95 / 3, 1e-6);
  EXPECT_EQ(second[1].track_id, 2);
}

TEST(SequenceRanking, LooksNowhereElse) {
  const Tensor query = unit_rows({{1, 0, 0}, {0, 1, 0}});
  // The right place is row 6, where both are 0.9; each has its nearest row elsewhere: one hop before, and far away.
  std::vector<std::array<float, 3>> placed(30, {0, 0, 1});
  placed[5] = {0.95F, 0, 0};
  placed[6] = {0.9F, 0, 0};
  placed[7] = {0, 0.9F, 0};
  placed[20] = {0, 0.95F, 0};
  const Database database = planted_database(unit_rows(placed), 30, {1});
  MatcherOptions options;
  options.ranking = Ranking::sequence;
  options.neighbours = 1;
  const Match proposed = Matcher(database, options).match(query).at(0);
  EXPECT_NEAR(proposed.start_s, 0.5, 1e-9);
  EXPECT_NEAR(proposed.score, 0.475, 1e-6);
  options.neighbours = 2;
  const Match right = Matcher(database, options).match(query).at(0);
  EXPECT_NEAR(right.start_s, 0.6, 1e-9);  // on the hop: nothing is fitted between
  EXPECT_NEAR(right.score, 0.9, 1e-6);
  options.ranking = Ranking::scored;
  options.neighbours = 1;
  options.refine = false;
  EXPECT_NEAR(Matcher(database, options).match(query).at(0).start_s, 0.6, 1e-9);  // beside what was proposed
}

TEST(SequenceRanking, HasItsNameAndItsNeighbours) {
  EXPECT_EQ(parse_ranking("sequence"), Ranking::sequence);
  EXPECT_EQ(default_neighbours(Ranking::sequence), 20);
  EXPECT_EQ(default_neighbours(Ranking::scored), MatcherOptions{}.neighbours);
}

TEST_F(MatcherTest, SequencesDoNotStraddleTracks) {
  // The end of track 3 and the beginning of track 4 lie side by side, but no track holds the whole query.
  const Tensor query = rows_.slice(293, 305);
  MatcherOptions nearest = options(Method::exact, Ranking::vote);
  nearest.neighbours = 1;
  nearest.refine = false;
  const Match vote = Matcher(database_, nearest).match(query).at(0);
  EXPECT_EQ(vote.track_id, 3);
  EXPECT_NEAR(vote.start_s, 9.3, 1e-6);
  EXPECT_EQ(vote.votes, 7);
  nearest.ranking = Ranking::scored;
  const Match scored = Matcher(database_, nearest).match(query).at(0);
  EXPECT_EQ(scored.track_id, 3);
  EXPECT_NEAR(scored.start_s, 9.3, 1e-6);
  EXPECT_NEAR(scored.score, 1, 1e-5);  // over the rows that lie inside the track
}

TEST_F(MatcherTest, QueryMayBeginBeforeTheTrack) {
  Tensor query({20, 64});
  query.slice(0, 6).copy_from(random_fingerprints(6, 64, 99));
  query.slice(6, 20).copy_from(rows_.slice(500, 514));
  const std::vector<Match> matches = Matcher(database_, options(Method::exact, Ranking::scored)).match(query);
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].track_id, 6);
  EXPECT_NEAR(matches[0].start_s, -0.6, 0.03);
}

TEST_F(MatcherTest, TooLittleOverlapIsNoAnswer) {
  Tensor query({20, 64});
  query.slice(0, 18).copy_from(random_fingerprints(18, 64, 99));
  query.slice(18, 20).copy_from(rows_.slice(500, 502));
  const std::vector<Match> matches = Matcher(database_, options(Method::exact, Ranking::scored)).match(query);
  EXPECT_TRUE(matches.empty() || matches[0].score < 0.9);
}

TEST_F(MatcherTest, EqualPlacesGoToTheFirst) {
  const Tensor rows = rows_.clone();
  rows.slice(700, 730).copy_from(rows_.slice(200, 230));  // the same in tracks 3 and 8
  rows.slice(240, 270).copy_from(rows_.slice(200, 230));  // and again in track 3
  const Database database = planted_database(rows, kMatcherTrackRows, {10});
  for (const Ranking ranking : {Ranking::scored, Ranking::vote}) {
    const std::vector<Match> matches = Matcher(database, options(Method::exact, ranking)).match(rows.slice(205, 225));
    ASSERT_EQ(matches.size(), 1U);
    EXPECT_EQ(matches[0].track_id, 3);
    EXPECT_NEAR(matches[0].start_s, 0.5, 0.03);
  }
}

TEST_F(MatcherTest, QueriesOfOneBatchAreAnsweredAsEachByItself) {
  const Tensor fingerprints = noisy(rows_.slice(80, 400), 0.9, 3);
  const std::vector<QueryRange> queries{{0, 20}, {10, 15}, {40, 40}, {100, 319}, {300, 301}};
  for (const Method method : {Method::exact, Method::lsh}) {
    for (const Ranking ranking : {Ranking::scored, Ranking::vote, Ranking::vote_track, Ranking::sequence}) {
      MatcherOptions several = options(method, ranking);
      several.top = 3;
      const Matcher matcher(database_, several);
      const std::vector<std::vector<Match>> all = matcher.match(fingerprints, queries);
      ASSERT_EQ(all.size(), queries.size());
      for (std::size_t q = 0; q < queries.size(); ++q) {
        const std::vector<Match> alone = matcher.match(fingerprints.slice(queries[q].begin, queries[q].end));
        ASSERT_EQ(all[q].size(), alone.size());
        for (std::size_t i = 0; i < alone.size(); ++i) {
          EXPECT_EQ(all[q][i].track_id, alone[i].track_id);
          EXPECT_EQ(all[q][i].start_s, alone[i].start_s);
          EXPECT_EQ(all[q][i].score, alone[i].score);
          EXPECT_EQ(all[q][i].confidence, alone[i].confidence);
          EXPECT_EQ(all[q][i].matched, alone[i].matched);
        }
      }
    }
  }
}

TEST_F(MatcherTest, TopGivesOneMatchPerTrackBestFirst) {
  MatcherOptions several = options(Method::exact, Ranking::scored);
  several.top = 3;
  const std::vector<Match> matches = Matcher(database_, several).match(rows_.slice(610, 630));
  ASSERT_EQ(matches.size(), 3U);
  EXPECT_EQ(matches[0].track_id, 7);
  EXPECT_NE(matches[1].track_id, 7);
  EXPECT_NE(matches[1].track_id, matches[2].track_id);
  EXPECT_GT(matches[0].score, matches[1].score);
  EXPECT_GE(matches[1].score, matches[2].score);
}

TEST_F(MatcherTest, ParabolaFindsPlacesBetweenHops) {
  // Fingerprints of a query that begins 30 ms after a hop lie between two stored ones.
  const std::int64_t start = 650;
  Tensor query({20, 64});
  for (std::int64_t i = 0; i < query.numel(); ++i) {
    const float here = rows_.data<float>()[start * 64 + i];
    const float next = rows_.data<float>()[(start + 1) * 64 + i];
    query.mutable_data<float>()[i] = 0.7F * here + 0.3F * next;
  }
  normalize_rows(query);
  MatcherOptions refined = options(Method::exact, Ranking::scored);
  EXPECT_NEAR(Matcher(database_, refined).match(query)[0].start_s, 5.03, 0.015);
  refined.refine = false;
  EXPECT_NEAR(Matcher(database_, refined).match(query)[0].start_s, 5.0, 1e-6);
}

TEST(ScoredRanking, APlaceBetweenHopsIsAsHighAsItsPeak) {
  // The first track has the query's sound between its second and its third fingerprint, the second something alike
  // just on a fingerprint.
  const Tensor rows = unit_rows({{0.6F, 0, 0},
                                 {0.94F, 0, 0},
                                 {0.94F, 0, 0},
                                 {0.6F, 0, 0},  //
                                 {0.3F, 0, 0},
                                 {0.96F, 0, 0},
                                 {0.3F, 0, 0},
                                 {0.3F, 0, 0}});
  const Database database = planted_database(rows, 4, {2});
  const Tensor query = unit_rows({{1, 0, 0}});
  MatcherOptions options;
  options.top = 2;
  const std::vector<Match> peaks = Matcher(database, options).match(query);
  ASSERT_EQ(peaks.size(), 2U);
  EXPECT_EQ(peaks[0].track_id, 1);
  EXPECT_NEAR(peaks[0].start_s, 0.15, 1e-6);
  EXPECT_NEAR(peaks[0].score, 0.94 + 0.34 / 8, 1e-5);
  EXPECT_EQ(peaks[1].track_id, 2);
  EXPECT_NEAR(peaks[1].score, 0.96, 1e-5);
  options.refine = false;
  EXPECT_EQ(Matcher(database, options).match(query).at(0).track_id, 2);
}

TEST_F(MatcherTest, FinerQueryHop) {
  // Two query rows per database hop: the even ones are stored rows, the odd ones lie half-way.
  const std::int64_t start = 120;
  Tensor query({40, 64});
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t j = 0; j < 64; ++j) {
      const float here = rows_.data<float>()[(start + i / 2) * 64 + j];
      const float next = rows_.data<float>()[(start + i / 2 + 1) * 64 + j];
      query.mutable_data<float>()[i * 64 + j] = i % 2 == 0 ? here : 0.5F * (here + next);
    }
  }
  normalize_rows(query);
  for (const Ranking ranking : {Ranking::scored, Ranking::vote}) {
    MatcherOptions fine = options(Method::exact, ranking);
    fine.query_ratio = 2;
    const std::vector<Match> matches = Matcher(database_, fine).match(query);
    ASSERT_EQ(matches.size(), 1U);
    EXPECT_EQ(matches[0].track_id, 2);
    EXPECT_NEAR(matches[0].start_s, 2.0, 0.05);
  }
}

TEST_F(MatcherTest, OneFingerprintIsPlacedBetweenHopsAtAFinerQueryHopToo) {
  const std::int64_t start = 650;
  Tensor query({1, 64});
  for (std::int64_t j = 0; j < 64; ++j) {
    query.mutable_data<float>()[j] =
        0.7F * rows_.data<float>()[start * 64 + j] + 0.3F * rows_.data<float>()[(start + 1) * 64 + j];
  }
  normalize_rows(query);
  MatcherOptions fine = options(Method::exact, Ranking::scored);
  const double plain = Matcher(database_, fine).match(query)[0].start_s;
  fine.query_ratio = 2;
  EXPECT_GT(plain, 5.001);
  EXPECT_NEAR(Matcher(database_, fine).match(query)[0].start_s, plain, 1e-6);
}

TEST_F(MatcherTest, OneFingerprintIsEnough) {
  const std::vector<Match> matches =
      Matcher(database_, options(Method::exact, Ranking::scored)).match(rows_.slice(432, 433));
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].track_id, 5);
  EXPECT_NEAR(matches[0].start_s, 3.2, 0.05);
}

TEST_F(MatcherTest, ThresholdDecidesWhetherItMatches) {
  MatcherOptions strict = options(Method::exact, Ranking::scored);
  const std::vector<Match> found = Matcher(database_, strict).match(noisy(rows_.slice(610, 630), 0.7, 1));
  strict.threshold = found[0].confidence + 0.01;
  EXPECT_FALSE(Matcher(database_, strict).match(noisy(rows_.slice(610, 630), 0.7, 1))[0].matched);
  strict.threshold = found[0].confidence - 0.01;
  EXPECT_TRUE(Matcher(database_, strict).match(noisy(rows_.slice(610, 630), 0.7, 1))[0].matched);
}

TEST_F(MatcherTest, ThreadsDoNotChangeTheAnswer) {
  const int before = num_threads();
  for (const Method method : {Method::exact, Method::lsh}) {
    const Matcher matcher(database_, options(method, Ranking::scored));
    const Tensor query = noisy(rows_.slice(610, 650), 1, 2);
    set_num_threads(1);
    const Match one = matcher.match(query).at(0);
    set_num_threads(3);
    const Match three = matcher.match(query).at(0);
    EXPECT_EQ(one.start_s, three.start_s);
    EXPECT_EQ(one.score, three.score);
    EXPECT_EQ(one.confidence, three.confidence);
  }
  set_num_threads(before);
}

TEST_F(MatcherTest, EmptyDatabaseHasNoAnswer) {
  const Database empty(64, {}, {});
  EXPECT_TRUE(Matcher(empty, options(Method::exact, Ranking::scored)).match(rows_.slice(0, 5)).empty());
  EXPECT_TRUE(Matcher(empty, options(Method::lsh, Ranking::vote)).match(rows_.slice(0, 5)).empty());
}

TEST_F(MatcherTest, RefusesOptionsThatMakeNoSense) {
  MatcherOptions wrong;
  wrong.top = 0;
  EXPECT_THROW(Matcher(database_, wrong), Error);
  wrong = {};
  wrong.query_ratio = 0;
  EXPECT_THROW(Matcher(database_, wrong), Error);
  EXPECT_THROW(parse_method("fast"), Error);
  EXPECT_THROW(parse_ranking("best"), Error);
}

TEST(DatabaseTest, RefusesGapsAndStraddlingTracks) {
  const Tensor rows = random_fingerprints(20, 8, 1);
  const auto blocks = [&] { return std::vector<Block>{{{rows.slice(0, 10), {}}, 0}, {{rows.slice(10, 20), {}}, 10}}; };
  EXPECT_NO_THROW(Database(8, blocks(), {{1, 0, 10}, {2, 10, 10}}));
  EXPECT_THROW(Database(8, blocks(), {{1, 0, 12}, {2, 12, 8}}), Error);
  EXPECT_THROW(Database(8, blocks(), {{1, 0, 9}, {2, 10, 10}}), Error);
  EXPECT_THROW(Database(8, blocks(), {{1, 0, 10}}), Error);
  EXPECT_THROW(Database(9, blocks(), {{1, 0, 10}, {2, 10, 10}}), Error);
}

}  // namespace
}  // namespace earmark::search
