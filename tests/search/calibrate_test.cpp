#include "search/calibrate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/search/planted.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kCalibrateTrackRows = 150;
constexpr std::int64_t kDimension = 32;

class CalibrateTest : public ::testing::Test {
 protected:
  Tensor rows_ = random_fingerprints(40 * kCalibrateTrackRows, kDimension, 1);
  Database database_ = planted_database(rows_, kCalibrateTrackRows, {40});

  static CalibrateOptions options() { return {{1, 11, 21}, 200, 0.01, 1}; }
  double share_matched(const Calibration& calibration, const std::vector<Tensor>& queries) const {
    MatcherOptions options;
    options.calibration = calibration;
    const Matcher matcher(database_, options);
    int matched = 0;
    for (const Tensor& query : queries) {
      matched += matcher.match(query).at(0).matched ? 1 : 0;
    }
    return static_cast<double>(matched) / static_cast<double>(queries.size());
  }
  std::vector<Tensor> absent(std::int64_t rows, int count) const {
    std::vector<Tensor> queries;
    for (int i = 0; i < count; ++i) {
      queries.push_back(random_fingerprints(rows, kDimension, 1000 + static_cast<std::uint64_t>(i)));
    }
    return queries;
  }
};

TEST_F(CalibrateTest, HeldOutTracksSeparatePresentFromAbsent) {
  const Calibration calibration = calibrate_on_held_out_tracks(database_, {}, options());
  ASSERT_EQ(calibration.points.size(), 3U);
  for (const std::int64_t length : {11, 16, 21}) {
    // 300 queries: 1 % and three standard errors.
    EXPECT_LE(share_matched(calibration, absent(length, 300)), 0.028) << length;
    std::vector<Tensor> present;
    for (std::int64_t i = 0; i < 100; ++i) {
      const std::int64_t begin = i * 60 / kCalibrateTrackRows * kCalibrateTrackRows + i % (kCalibrateTrackRows - 21);
      present.push_back(noisy(rows_.slice(begin, begin + length), 0.6, static_cast<std::uint64_t>(i)));
    }
    EXPECT_GE(share_matched(calibration, present), 0.95) << length;
  }
}

TEST_F(CalibrateTest, AbsentSoundDoesTheSame) {
  const Calibration calibration = calibrate_on_absent(database_, {}, absent(60, 50), options());
  ASSERT_EQ(calibration.points.size(), 3U);
  EXPECT_EQ(calibration.source, "absent audio");
  EXPECT_LE(share_matched(calibration, absent(21, 300)), 0.028);
}

TEST_F(CalibrateTest, ShortSoundGivesShortLengthsOnly) {
  EXPECT_EQ(calibrate_on_absent(database_, {}, absent(15, 30), options()).points.size(), 2U);
  EXPECT_THROW(calibrate_on_absent(database_, {}, {}, options()), Error);
}

TEST_F(CalibrateTest, OneTrackCannotBeHeldOut) {
  const Database one = planted_database(rows_.slice(0, kCalibrateTrackRows), kCalibrateTrackRows, {1});
  EXPECT_TRUE(calibrate_on_held_out_tracks(one, {}, options()).points.empty());
}

TEST(GumbelThresholdTest, FindsTheQuantileOfAGumbelDistribution) {
  std::vector<double> values;
  RandomStream random(3);
  for (int i = 0; i < 20000; ++i) {
    values.push_back(2 - 0.5 * std::log(-std::log(random.uniform(1e-9, 1))));
  }
  EXPECT_NEAR(gumbel_threshold(values, 0.01), 2 - 0.5 * std::log(-std::log(0.995)), 0.1);
}

TEST(GumbelThresholdTest, AFewOutliersDoNotMatter) {
  std::vector<double> values;
  for (int i = 0; i < 1000; ++i) {
    values.push_back(i < 985 ? i / 1000.0 : 100);
  }
  EXPECT_LT(gumbel_threshold(values, 0.01), 3);
}

TEST(CalibrationTest, JsonAndBack) {
  const Calibration calibration{{{1, 0.75}, {41, 0.25}}, 0.02, "a \"source\""};
  const Calibration back = calibration_from_json(to_json(calibration));
  EXPECT_EQ(back.points.size(), 2U);
  EXPECT_EQ(back.points[1].rows, 41);
  EXPECT_EQ(back.points[1].threshold, 0.25);
  EXPECT_EQ(back.false_match_rate, 0.02);
  EXPECT_EQ(back.source, calibration.source);
  EXPECT_THROW(calibration_from_json("{}"), Error);
  EXPECT_THROW(calibration_from_json("nonsense"), Error);
  EXPECT_THROW(calibration_from_json(R"({"points": [], "false_match_rate": 0.01, "source": ""})"), Error);
}

}  // namespace
}  // namespace earmark::search
