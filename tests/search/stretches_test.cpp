#include "search/stretches.h"

#include <gtest/gtest.h>

#include "tests/search/planted.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kStretchTrackRows = 300;

/// Three tracks of half a minute.
class StretchesTest : public ::testing::Test {
 protected:
  Tensor rows_ = random_fingerprints(3 * kStretchTrackRows, 64, 1);
  Database database_ = planted_database(rows_, kStretchTrackRows, {3});

  /// Everything that is proposed counts as a match above `threshold`.
  std::vector<Stretch> find(const Tensor& query, double threshold) const {
    MatcherOptions options;
    options.threshold = threshold;
    return find_stretches(Matcher(database_, options), query, {});
  }
  /// Rows of chance with `count` rows of the database from `from` on, at `at`.
  Tensor planted(std::int64_t rows, std::int64_t at, std::int64_t from, std::int64_t count) const {
    const Tensor query = random_fingerprints(rows, 64, 77);
    query.slice(at, at + count).copy_from(noisy(rows_.slice(from, from + count), 0.5, 3));
    return query;
  }
};

TEST_F(StretchesTest, BeginAndEndInBothRecordings) {
  const std::vector<Stretch> found = find(planted(300, 100, kStretchTrackRows + 50, 120), 0.3);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].track_id, 2);
  EXPECT_NEAR(found[0].query_begin_s, 10.0, 0.6);
  EXPECT_NEAR(found[0].query_end_s, 22.9, 0.6);
  EXPECT_NEAR(found[0].track_begin_s, found[0].query_begin_s - 5, 0.06);
  EXPECT_NEAR(found[0].track_end_s, found[0].query_end_s - 5, 0.06);
}

TEST_F(StretchesTest, NoneIsShorterThanOneFingerprint) {
  // Whatever is most alike counts as a match, and it is alike by chance for a moment only.
  for (const std::int64_t alike : {0, 1, 2, 4}) {
    const Tensor query = planted(200, 150, 40, alike);
    for (const Stretch& stretch : find(query, -1)) {
      EXPECT_GE(stretch.query_end_s - stretch.query_begin_s, StretchOptions().segment_seconds) << alike;
      EXPECT_GE(stretch.track_end_s, stretch.track_begin_s) << alike;
      EXPECT_LE(stretch.query_end_s, 199 * 0.1 + 0.96 + 1e-9) << alike;
    }
  }
}

}  // namespace
}  // namespace earmark::search
