// Landmarks against audfprint's own, how they are hashed and paired, and odd sounds.
#include "search/landmarks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "data/composer.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/landmark_reference.h"

namespace earmark::search {
namespace {

using earmark::testing::as_pcm;
using earmark::testing::kLandmarkRate;
using earmark::testing::landmark_reference;
using earmark::testing::reference_sound;
using earmark::testing::unpacked;
using kernels::LandmarkPeak;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::int64_t> packed(const std::vector<Landmark>& landmarks) {
  std::vector<std::int64_t> out;
  for (const Landmark& landmark : landmarks) {
    out.push_back(std::int64_t{landmark.frame} << 20 | landmark.hash);
  }
  return out;
}

/// The share of both sets together that is in both, in percent.
double overlap(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  std::vector<std::int64_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return 100 * static_cast<double>(both.size()) / static_cast<double>(a.size() + b.size() - both.size());
}

TEST(Landmarks, TheReferencesSoundIsRemade) {
  const std::vector<std::int64_t> sound = reference_sound(1, 8 * kLandmarkRate);
  EXPECT_EQ(std::accumulate(sound.begin(), sound.end(), std::int64_t{0}), landmark_reference()["sum"]);
  EXPECT_EQ(std::inner_product(sound.begin(), sound.end(), sound.begin(), std::int64_t{0}),
            landmark_reference()["sum_of_squares"]);
}

// All are equal where this was written. Elsewhere the last bit of a transform may decide about a peak.
TEST(Landmarks, AreThoseOfAudfprint) {
  const nlohmann::json analysis = landmark_reference()["analysis"];
  for (const std::string& setting : landmark_settings()) {
    const LandmarkOptions options = landmark_setting(setting);
    const std::vector<float> pcm = as_pcm(reference_sound(1, 8 * kLandmarkRate));
    const std::vector<std::int64_t> wanted = unpacked(analysis[setting]["landmarks"]);
    EXPECT_GE(overlap(packed(landmarks(pcm, options)), wanted), 99) << setting;
    const std::vector<float> query = as_pcm(reference_sound(2, 2 * kLandmarkRate + 77));
    const std::vector<std::int64_t> wanted_of_query = unpacked(analysis[setting]["query_landmarks"]);
    EXPECT_GE(overlap(packed(query_landmarks(query, options)), wanted_of_query), 99) << setting;
  }
}

TEST(Landmarks, SettingsAreTheOriginals) {
  const LandmarkOptions usual = landmark_setting("default");
  EXPECT_EQ(to_text(usual),
            "density=20 spread=30 peaks=5 fan_out=3 shifts=4 bucket=100 time_bits=14 min_count=5 window=2 depth=100");
  EXPECT_EQ(to_text(landmark_setting("dense")),
            "density=70 spread=30 peaks=5 fan_out=8 shifts=4 bucket=500 time_bits=14 min_count=5 window=2 depth=100");
  EXPECT_EQ(to_text(landmark_setting("best")),
            "density=100 spread=30 peaks=10 fan_out=8 shifts=4 bucket=100 time_bits=14 min_count=1 window=2 depth=100");
  for (const std::string& setting : landmark_settings()) {
    EXPECT_EQ(to_text(landmark_options_from(to_text(landmark_setting(setting)))), to_text(landmark_setting(setting)));
  }
}

TEST(Landmarks, DamagedSettingsAreErrors) {
  EXPECT_THROW(landmark_setting("bests"), Error);
  const std::string text = to_text(landmark_setting("default"));
  for (const std::string& bad :
       std::vector<std::string>{"", text + " more=1", text.substr(0, text.rfind(' ')), text + "x", "=",
                                std::string("density=0") + text.substr(text.find(' ')),
                                std::string("density=1e9") + text.substr(text.find(' '))}) {
    EXPECT_THROW(landmark_options_from(bad), Error) << bad;
  }
}

TEST(Landmarks, HashesSayWhatTheyAreMadeOf) {
  EXPECT_EQ(landmark_hash(255, 255, 63), 0xFF03FU);
  EXPECT_EQ(landmark_hash(0, 0, 2), 2U);
  EXPECT_EQ(landmark_hash(1, 0, 2), 0x1FC2U);
  std::set<std::uint32_t> all;
  for (int first = 0; first < 256; ++first) {
    for (int second = std::max(0, first - 30); second <= std::min(255, first + 30); ++second) {
      for (const int frames : {2, 17, 62}) {
        const std::uint32_t hash = landmark_hash(first, second, frames);
        EXPECT_LT(hash, 1U << LandmarkOptions::kHashBits);
        EXPECT_EQ(pair_of(hash), (LandmarkPair{first, second, frames}));
        all.insert(hash);
      }
    }
  }
  EXPECT_EQ(all.size(), 3U * (256 * 61 - 30 * 31));
}

TEST(Landmarks, PairsKeepToTheirTargetZone) {
  const std::vector<LandmarkPeak> peaks = {{0, 100}, {1, 100}, {2, 69},   {2, 70},
                                           {2, 130}, {2, 131}, {62, 100}, {63, 100}};
  const auto from_first = [&](int fan_out) {
    std::vector<LandmarkPair> pairs;
    for (const Landmark& landmark : landmarks_of(peaks, fan_out)) {
      if (landmark.frame == 0) {
        pairs.push_back(pair_of(landmark.hash));
      }
    }
    return pairs;
  };
  EXPECT_THAT(from_first(8),
              ElementsAre(LandmarkPair{100, 100, 62}, LandmarkPair{100, 130, 2}, LandmarkPair{100, 70, 2}));
  EXPECT_THAT(from_first(1), ElementsAre(LandmarkPair{100, 70, 2}));
  EXPECT_THAT(landmarks_of({}, 3), IsEmpty());
}

TEST(Landmarks, QueriesHoldTheMusicsOwnWhereTheyBeginWithAFrame) {
  const std::vector<float> music = data::compose(3, 6, kLandmarkRate);
  const LandmarkOptions options = landmark_setting("best");
  const std::vector<Landmark> once = landmarks(music, options);
  const std::vector<Landmark> shifted = query_landmarks(music, options);
  EXPECT_GT(shifted.size(), 2 * once.size());
  EXPECT_TRUE(std::includes(shifted.begin(), shifted.end(), once.begin(), once.end()));
}

TEST(Landmarks, NothingAndSilenceHaveNone) {
  const LandmarkOptions options = landmark_setting("best");
  EXPECT_THAT(landmarks({}, options), IsEmpty());
  EXPECT_THAT(query_landmarks({}, options), IsEmpty());
  for (const std::size_t samples : {1U, 63U, 64U, 255U, 256U, 20000U}) {
    const std::vector<float> silence(samples, 0);
    EXPECT_THAT(query_landmarks(silence, options), IsEmpty()) << samples;
  }
}

TEST(Landmarks, WhatIsBelowTheLastOf16BitsIsNotHeard) {
  const LandmarkOptions options = landmark_setting("best");
  std::vector<float> music = as_pcm(reference_sound(5, 20000));
  const std::vector<Landmark> wanted = landmarks(music, options);
  const std::vector<Landmark> wanted_of_query = query_landmarks(music, options);
  for (std::size_t i = 0; i < music.size(); ++i) {
    music[i] += (i % 3 == 0 ? 0.49F : -0.4F) / 32768;
  }
  EXPECT_EQ(landmarks(music, options), wanted);
  EXPECT_EQ(query_landmarks(music, options), wanted_of_query);
  music.assign(20000, 0.49F / 32768);
  EXPECT_THAT(landmarks(music, options), IsEmpty());
}

TEST(Landmarks, ThreadsChangeNothing) {
  const std::vector<float> music = data::compose(4, 30, kLandmarkRate);
  const LandmarkOptions options = landmark_setting("best");
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<Landmark> one = landmarks(music, options);
  const std::vector<Landmark> query = query_landmarks(music, options);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(landmarks(music, options), one);
    EXPECT_EQ(query_landmarks(music, options), query);
  }
  set_num_threads(before);
  EXPECT_FALSE(one.empty());
}

}  // namespace
}  // namespace earmark::search
