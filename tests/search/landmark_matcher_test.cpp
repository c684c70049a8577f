// Landmarks from sound to answer: excerpts, distortions, long tracks, recordings with several pieces, odd queries.
#include "search/landmark_matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "kernels/error.h"
#include "kernels/random.h"
#include "search/query.h"
#include "tests/search/landmark_index.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LandmarkSearch : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    composed_ = new ComposedLandmarks("best", 4, 30);
    ASSERT_EQ(composed_->add_landmarks({composed_->music()}).added, 4);
    store_ = new IndexStore(IndexStore::open(composed_->index()));
  }
  static void TearDownTestSuite() {
    delete store_;
    delete composed_;
  }
  /// As decoding makes it of a file at 16 kHz.
  static fs::path query(int track, double begin_s, double length_s, double noise = 0) {
    const std::span<const float> part = composed_->part(track, begin_s, length_s);
    std::vector<float> sound(part.begin(), part.end());
    RandomStream random(9);
    for (float& x : sound) {
      x += static_cast<float>(noise * random.normal());
    }
    return composed_->write("query.wav", sound);
  }
  static std::vector<float> medley() {
    std::vector<float> sound(composed_->part(0, 1, 16).begin(), composed_->part(0, 1, 16).end());
    sound.insert(sound.end(), composed_->part(1, 8, 16).begin(), composed_->part(1, 8, 16).end());
    return sound;
  }

  /// An index of four tracks would be more cautious.
  static MatcherOptions sure() {
    MatcherOptions options;
    options.threshold = kSure;
    return options;
  }

  static constexpr double kSure = 0.45;
  inline static ComposedLandmarks* composed_ = nullptr;
  inline static IndexStore* store_ = nullptr;
};

TEST_F(LandmarkSearch, ExcerptsAreFoundWhereTheyAre) {
  const Searcher searcher(*store_, sure());
  for (int track = 0; track < 4; ++track) {
    for (const double begin : {0.0, 3.217, 11.6, 21.9}) {
      for (const double length : {3.0, 8.0}) {
        const Answer answer = searcher.answer(query(track, begin, length, 0.003));
        ASSERT_EQ(answer.error, "");
        ASSERT_EQ(answer.matches.size(), 1U);
        EXPECT_EQ(answer.matches[0].track, Composed::name(track));
        EXPECT_TRUE(answer.matches[0].matched);
        if (length > 5) {  // shorter ones may sound the same elsewhere in a composed track
          EXPECT_NEAR(answer.matches[0].start_s, begin, 0.05) << track;
        }
        EXPECT_EQ(answer.matches[0].score, answer.matches[0].votes);
        EXPECT_GT(answer.matches[0].confidence, kSure);
      }
    }
  }
}

TEST_F(LandmarkSearch, WhatIsNotThereIsNoMatch) {
  MatcherOptions options;
  options.threshold = 0.75;  // among four tracks of one synthesiser chance leads by more than among many
  const Searcher searcher(*store_, options);
  for (const std::uint64_t seed : {77, 78, 79, 80}) {
    const Answer answer = searcher.answer(composed_->write("other.wav", data::compose(seed, 5)));
    ASSERT_EQ(answer.error, "");
    for (const Match& match : answer.matches) {
      EXPECT_FALSE(match.matched) << seed << ": " << match.score << " landmarks, confidence " << match.confidence;
    }
  }
}

TEST_F(LandmarkSearch, TheThresholdAndTheNumberOfAnswersAreTheCallers) {
  MatcherOptions options;
  options.top = 4;
  options.threshold = 1;
  const std::vector<Match> all = Searcher(*store_, options).answer(query(2, 5, 8)).matches;
  ASSERT_GE(all.size(), 2U);
  std::set<std::int64_t> tracks;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_FALSE(all[i].matched);
    tracks.insert(all[i].track_id);
    if (i > 0) {
      EXPECT_LE(all[i].score, all[i - 1].score);
      EXPECT_EQ(all[i].confidence, 0);
    }
  }
  EXPECT_EQ(tracks.size(), all.size());
  EXPECT_GT(all[0].confidence, 0.5);
  EXPECT_LE(all[0].confidence, 1 - std::sqrt(std::max(5.0, all[1].score)) / all[0].score) << "no more frames than hits";
}

TEST_F(LandmarkSearch, OddQueriesAreAnswered) {
  const Searcher searcher(*store_, {});
  EXPECT_THAT(searcher.answer(std::span<const float>()).error, HasSubstr("empty"));
  EXPECT_THAT(searcher.answer(std::vector<float>(30000, 0.0F)).note, HasSubstr("silent"));
  for (const std::size_t samples : {1U, 100U, 1000U}) {
    const std::vector<float> click(samples, 0.5F);
    const Answer answer = searcher.answer(click);
    EXPECT_EQ(answer.error, "") << samples;
    EXPECT_THAT(answer.note, HasSubstr("shorter than one fingerprint")) << samples;
    for (const Match& match : answer.matches) {
      EXPECT_FALSE(match.matched);
    }
  }
}

TEST_F(LandmarkSearch, OptionsOfFingerprintsAreRefused) {
  MatcherOptions lsh;
  lsh.method = Method::lsh;
  EXPECT_THROW(Searcher(*store_, lsh), Error);
  EXPECT_THROW(Searcher(*store_, {}, {}, 0.05), Error);
}

TEST_F(LandmarkSearch, ALongRecordingsPiecesAreFoundWithTheirEnds) {
  const Answer answer = Searcher(*store_, sure()).answer(composed_->write("medley.wav", medley()));
  ASSERT_FALSE(answer.whole);
  ASSERT_EQ(answer.stretches.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const Stretch& stretch = answer.stretches[i];
    EXPECT_EQ(stretch.track, Composed::name(static_cast<int>(i)));
    EXPECT_NEAR(stretch.query_begin_s, i == 0 ? 0 : 16, 1.5);
    EXPECT_NEAR(stretch.query_end_s, i == 0 ? 16 : 32, 1.5);
    EXPECT_NEAR(stretch.track_begin_s - stretch.query_begin_s, i == 0 ? 1 : -8, 0.05);
    EXPECT_NEAR(stretch.track_end_s - stretch.query_end_s, i == 0 ? 1 : -8, 0.05);
  }
}

TEST_F(LandmarkSearch, AStreamIsFollowed) {
  const Searcher searcher(*store_, sure());
  std::vector<std::string> events;
  data::AudioStream stream(composed_->write("medley.wav", medley()), {11025, data::Channel::mean, false});
  const double seconds = searcher.recognizer().follow(
      stream, [&](const Stretch& s) { events.push_back("begin " + s.track); },
      [&](const Stretch& s) { events.push_back("end " + s.track); });
  EXPECT_NEAR(seconds, 32, 0.1);
  EXPECT_THAT(events, ElementsAre("begin track-0.wav", "end track-0.wav", "begin track-1.wav", "end track-1.wav"));
}

// Frames are kept modulo 2^14: the landmarks themselves tell where in a track of 40,000 frames a query is.
TEST(LandmarkMatcher, LongTracksAreFoundWhereTheyAre) {
  const testing::TemporaryFolder folder;
  std::vector<Landmark> track = random_landmarks(80000, 1);
  ASSERT_GT(track.back().frame, 2 * 16384);
  {
    IndexWriter writer = IndexWriter::create(folder / "index", {}, landmark_format(landmark_setting("default")));
    for (int i = 0; i < 2; ++i) {
      Track entry;
      entry.path = entry.content_hash = std::to_string(i);
      writer.add(entry, rows_of(i == 0 ? random_landmarks(3000, 2) : track));
    }
    writer.commit();
  }
  const IndexStore store = IndexStore::open(folder / "index");
  const LandmarkMatcher matcher(store, {});
  for (const std::int32_t begin : {0, 5000, 16400, 20000, 33000}) {
    std::vector<Landmark> query;
    for (const Landmark& landmark : track) {
      if (landmark.frame >= begin && landmark.frame < begin + 100) {
        query.push_back({landmark.frame - begin, landmark.hash});
      }
    }
    const std::vector<Match> matches = matcher.match(query);
    ASSERT_EQ(matches.size(), 1U) << begin;
    EXPECT_EQ(matches[0].track, "1");
    EXPECT_NEAR(matches[0].start_s, begin * 256 / 11025.0, 1e-9);
    const LandmarkMatcher::Support support = matcher.support(query, matches[0].track_id, matches[0].start_s);
    EXPECT_GE(support.count, static_cast<int>(query.size()) - 5);
    EXPECT_LE(support.first_frame, 5);
    EXPECT_GE(support.last_frame, 94);
    EXPECT_LE(matcher.support(query, matches[0].track_id, matches[0].start_s + 1).count, 3);
  }
  EXPECT_THROW(matcher.support({}, 99, 0), Error);
  EXPECT_THAT(matcher.match({}), IsEmpty());
}

// Sixty landmarks that agree, in sixty frames or in three: one sound that a track has from elsewhere.
TEST(LandmarkMatcher, WhatLiesFarApartIsMoreCertain) {
  const testing::TemporaryFolder folder;
  const auto landmarks_in_frames = [](int frames, std::uint32_t first_hash) {
    std::vector<Landmark> out;
    for (int i = 0; i < 60; ++i) {
      out.push_back({i * frames / 60 * 3, first_hash + static_cast<std::uint32_t>(i)});
    }
    return out;
  };
  {
    IndexWriter writer = IndexWriter::create(folder / "index", {}, landmark_format(landmark_setting("best")));
    for (const int frames : {60, 3}) {
      Track entry;
      entry.path = entry.content_hash = std::to_string(frames);
      writer.add(entry, rows_of(landmarks_in_frames(frames, frames == 60 ? 1000 : 5000)));
    }
    writer.commit();
  }
  const IndexStore store = IndexStore::open(folder / "index");
  const LandmarkMatcher matcher(store, {});
  for (const int frames : {60, 3}) {
    const std::vector<Match> found = matcher.match(landmarks_in_frames(frames, frames == 60 ? 1000 : 5000));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].track, std::to_string(frames));
    EXPECT_EQ(found[0].score, 60);
    EXPECT_NEAR(found[0].confidence, 1 - std::sqrt(5.0) / frames, 1e-12);
    EXPECT_EQ(found[0].matched, frames == 60);
  }
}

TEST(LandmarkMatcher, AnEmptyIndexHasNoAnswers) {
  const testing::TemporaryFolder folder;
  static_cast<void>(IndexWriter::create(folder / "index", {}, landmark_format(landmark_setting("best"))));
  const IndexStore store = IndexStore::open(folder / "index");
  EXPECT_THAT(LandmarkMatcher(store, {}).match(random_landmarks(50, 1)), IsEmpty());
}

}  // namespace
}  // namespace earmark::search
