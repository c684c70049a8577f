// When an answer by landmarks is a match: thresholds from the index's own excerpts, on composed music.
#include "search/landmark_calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "search/landmark_matcher.h"
#include "search/landmark_rows.h"
#include "tests/search/landmark_index.h"

namespace earmark::search {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kPieces = 20;
constexpr double kPieceSeconds = 42;
constexpr int kPieceRate = LandmarkOptions::kSampleRate;

/// Pieces that are in the index, and as many that are not.
class CalibratedLandmarksWhole : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    pieces_.resize(std::size_t{2} * kPieces);
    parallel_for(std::ssize(pieces_), [&](std::int64_t i) {
      pieces_[static_cast<std::size_t>(i)] =
          data::compose(static_cast<std::uint64_t>(i) + 100, kPieceSeconds, kPieceRate);
    });
  }
  static void TearDownTestSuite() { pieces_.clear(); }

  void build(const LandmarkOptions& options, int pieces) {
    IndexWriter writer = IndexWriter::create(folder_ / "index", {}, landmark_format(options));
    for (int i = 0; i < pieces; ++i) {
      add(writer, std::to_string(i), pieces_[static_cast<std::size_t>(i)], options);
    }
    writer.commit();
    excerpts_ = writer.excerpts();
    store_ = std::make_unique<IndexStore>(IndexStore::open(folder_ / "index"));
  }
  static void add(IndexWriter& writer, const std::string& name, std::span<const float> pcm,
                  const LandmarkOptions& options) {
    Track track;
    track.path = track.content_hash = name;
    IndexWriter::Excerpts excerpts;
    for (const std::vector<Landmark>& excerpt : excerpts_of(pcm, options, LandmarkExcerpt::kPerTrack)) {
      excerpts.push_back(bytes_of(excerpt));
    }
    writer.add(track, rows_of(landmarks(pcm, options)), excerpts);
  }
  /// Of so many queries of pieces [first, first + kPieces), in noise, how many are called a match.
  int matched(const LandmarkMatcher& matcher, int first, int queries, double seconds, double noise) const {
    std::vector<char> called(static_cast<std::size_t>(queries));
    parallel_for(queries, [&](std::int64_t i) {
      RandomStream random(8, static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(i));
      const std::vector<float>& piece = pieces_[static_cast<std::size_t>(first + i % kPieces)];
      const auto length = static_cast<std::size_t>(seconds * kPieceRate);
      const auto begin = static_cast<std::ptrdiff_t>(random.below(piece.size() - length));
      std::vector<float> query(piece.begin() + begin, piece.begin() + begin + static_cast<std::ptrdiff_t>(length));
      for (float& x : query) {
        x += static_cast<float>(noise * random.normal());
      }
      const std::vector<Match> found = matcher.match(query_landmarks(query, matcher.options()));
      called[static_cast<std::size_t>(i)] = !found.empty() && found.front().matched ? 1 : 0;
    });
    return static_cast<int>(std::count(called.begin(), called.end(), 1));
  }

  inline static std::vector<std::vector<float>> pieces_;
  testing::TemporaryFolder folder_;
  std::vector<LandmarkExcerpt> excerpts_;
  std::unique_ptr<IndexStore> store_;
};

// Of 240 queries 1 % would be 2.4; more than 7 come by chance once in 200 times.
TEST_F(CalibratedLandmarksWhole, WhatIsNotThereIsNoMatchAndWhatIsThereIs) {
  constexpr int kQueries = 240;
  constexpr int kMostFalse = 7;
  for (const std::string setting : {"best", "default"}) {
    std::filesystem::remove_all(folder_ / "index");
    build(landmark_setting(setting), kPieces);
    ASSERT_EQ(excerpts_.size(), 4U * kPieces);
    const Calibration calibration = calibrate_landmarks(*store_, excerpts_);
    EXPECT_EQ(calibration.source, "held-out tracks of the index");
    ASSERT_EQ(calibration.points.size(), 5U);
    MatcherOptions options;
    options.calibration = calibration;
    const LandmarkMatcher matcher(*store_, options);
    for (const double seconds : {2.0, 5.0, 10.0}) {
      for (const double noise : {0.0, 0.02}) {
        EXPECT_LE(matched(matcher, kPieces, kQueries, seconds, noise), kMostFalse) << setting << seconds << noise;
      }
      if (seconds > 2) {
        EXPECT_GE(matched(matcher, 0, kQueries / 2, seconds, 0), 0.9 * kQueries / 2) << setting << seconds;
      }
    }
  }
}

TEST_F(CalibratedLandmarksWhole, ThePlacesDependOnTheRateAndOnNothingElse) {
  build(landmark_setting("best"), kPieces);
  const Calibration calibration = calibrate_landmarks(*store_, excerpts_);
  CalibrateOptions rare;
  rare.false_match_rate = 0.001;
  const Calibration strict = calibrate_landmarks(*store_, excerpts_, rare);
  ASSERT_EQ(strict.points.size(), calibration.points.size());
  int stricter = 0;
  for (std::size_t i = 0; i < strict.points.size(); ++i) {
    EXPECT_GE(strict.points[i].threshold, calibration.points[i].threshold);
    stricter += strict.points[i].threshold > calibration.points[i].threshold ? 1 : 0;
    EXPECT_LT(strict.points[i].threshold, 1);
  }
  EXPECT_GE(stricter, 1);
  const int before = num_threads();
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(to_json(calibrate_landmarks(*store_, excerpts_)), to_json(calibration)) << threads;
  }
  set_num_threads(before);
}

// Every piece a second time, a little quieter: each excerpt finds the other copy.
TEST_F(CalibratedLandmarksWhole, TheSameSoundTwiceDoesNotLiftTheThreshold) {
  const LandmarkOptions options = landmark_setting("best");
  build(options, kPieces);
  const Calibration once = calibrate_landmarks(*store_, excerpts_);
  {
    IndexWriter writer = IndexWriter::open(folder_ / "index");
    for (int i = 0; i < kPieces / 2; ++i) {
      std::vector<float> quieter = pieces_[static_cast<std::size_t>(i)];
      for (float& x : quieter) {
        x *= 0.9F;
      }
      add(writer, "again " + std::to_string(i), quieter, options);
    }
    writer.commit();
    excerpts_ = writer.excerpts();
  }
  const IndexStore store = IndexStore::open(folder_ / "index");
  const Calibration twice = calibrate_landmarks(store, excerpts_);
  ASSERT_EQ(twice.points.size(), once.points.size());
  for (std::size_t i = 1; i < twice.points.size(); ++i) {
    EXPECT_LT(1 - once.points[i].threshold, 2.5 * (1 - twice.points[i].threshold)) << once.points[i].rows;
  }
}

TEST_F(CalibratedLandmarksWhole, FewTracksAreTakenWithCautionAndNoneNotAtAll) {
  build(landmark_setting("best"), 4);
  const Calibration calibration = calibrate_landmarks(*store_, excerpts_);
  EXPECT_THAT(calibration.source, HasSubstr("default: excerpts of 4 tracks are too few"));
  ASSERT_EQ(calibration.points.size(), 5U);
  for (const Calibration::Point& point : calibration.points) {
    EXPECT_GT(point.threshold, landmark_threshold(landmark_setting("best"), point.rows));
  }
  EXPECT_THAT(calibrate_landmarks(*store_, {}).points, IsEmpty());
}

TEST_F(CalibratedLandmarksWhole, AbsentSoundDoesTheSame) {
  const LandmarkOptions options = landmark_setting("best");
  build(options, kPieces / 2);
  std::vector<std::vector<Landmark>> absent;
  for (int i = kPieces; i < 2 * kPieces; ++i) {
    for (std::vector<Landmark>& excerpt : excerpts_of(pieces_[static_cast<std::size_t>(i)], options, 2)) {
      absent.push_back(std::move(excerpt));
    }
  }
  MatcherOptions with;
  with.calibration = calibrate_landmarks_on_absent(*store_, absent);
  EXPECT_EQ(with.calibration->source, "absent audio");
  EXPECT_LE(matched(LandmarkMatcher(*store_, with), kPieces, 240, 5, 0), 7);
  EXPECT_THROW(calibrate_landmarks_on_absent(*store_, {}), Error);
  absent.resize(5);
  EXPECT_THAT(calibrate_landmarks_on_absent(*store_, absent).points, IsEmpty());
}

}  // namespace
}  // namespace earmark::search
