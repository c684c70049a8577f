// Repeats are found where they were put, and only there.
#include "experiments/repeats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/composer.h"

namespace earmark::experiments {
namespace {

constexpr std::int64_t kSource = 3 * 16000 + 123;
constexpr std::int64_t kCopy = 14 * 16000 + 77;  // Not on the 10 ms grid, nor a whole number of frames away.
constexpr std::int64_t kLength = 4 * 16000;

// 20 s with the 4 s from 3.0077 s on played again at 14.0048 s, a little more quietly.
std::vector<float> track_with_repeat() {
  std::vector<float> music = data::compose(5, 20);
  for (std::int64_t i = 0; i < kLength; ++i) {
    music[static_cast<std::size_t>(kCopy + i)] = 0.8F * music[static_cast<std::size_t>(kSource + i)];
  }
  return music;
}

double seconds(std::int64_t samples) { return static_cast<double>(samples) / 16000; }

TEST(Repeats, FindsAnExactRepeatToTheMillisecond) {
  const std::vector<float> music = track_with_repeat();
  const RepeatFinder finder(music);
  const double inside = 0.5;  // An excerpt within the repeated part.
  const auto places = finder.repeats(seconds(kSource) + inside, 2, kSimilarSound);
  ASSERT_FALSE(places.empty());
  EXPECT_NEAR(places.front().start_s, seconds(kCopy) + inside, 0.001);
  EXPECT_GT(places.front().correlation, kSameSound);
}

TEST(Repeats, FindsNoneInMusicThatHasNone) {
  const std::vector<float> music = data::compose(5, 20);
  const RepeatFinder finder(music);
  for (const double start_s : {1.0, 6.5, 13.2}) {
    for (const Equivalent& place : finder.repeats(start_s, 2, kSimilarSound)) {
      EXPECT_LT(place.correlation, kSameSound) << "at " << place.start_s;
    }
  }
}

TEST(Repeats, CorrelationOfAPlaceWithItselfIsOne) {
  const std::vector<float> music = data::compose(6, 8);
  const RepeatFinder finder(music);
  EXPECT_NEAR(finder.correlation(2.345, 2.345, 1), 1, 1e-9);
  EXPECT_LT(finder.correlation(2.345, 5.1, 1), kSameSound);
  EXPECT_EQ(finder.correlation(2.345, 7.9, 1), 0) << "beyond the end";
}

TEST(Repeats, BestCorrelationSearchesTheTolerance) {
  const std::vector<float> music = track_with_repeat();
  const RepeatFinder finder(music);
  const double there = seconds(kCopy) + 1;
  const double here = seconds(kSource) + 1;
  EXPECT_GT(finder.best_correlation(here, there + 0.045, 1, 0.05), kSameSound);
  EXPECT_LT(finder.best_correlation(here, there + 0.12, 1, 0.05), kSameSound);
}

}  // namespace
}  // namespace earmark::experiments
