// The table's buckets, their reservoirs, and how a query's hits line up: by hand, and against audfprint's own answers.
#include "search/landmark_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "search/landmark_alignment.h"
#include "tests/landmark_reference.h"

namespace earmark::search {
namespace {

using earmark::testing::as_pcm;
using earmark::testing::kLandmarkRate;
using earmark::testing::landmark_reference;
using earmark::testing::reference_sound;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

using Tracks = std::vector<std::vector<Landmark>>;

LandmarkTable table_of(const Tracks& tracks, const LandmarkOptions& options = {}) {
  const std::vector<std::span<const Landmark>> spans(tracks.begin(), tracks.end());
  return {options, spans};
}

/// (track, frame) of each place of a hash.
std::vector<std::pair<int, int>> places(const LandmarkTable& table, std::uint32_t hash) {
  std::vector<std::pair<int, int>> out;
  for (const std::uint32_t place : table.places(hash)) {
    out.emplace_back(static_cast<int>(table.track_of(place)), static_cast<int>(table.frame_of(place)));
  }
  return out;
}

/// One hash for each frame: `hash(frame)`.
template <class F>
std::vector<Landmark> track(int frames, const F& hash) {
  std::vector<Landmark> out;
  for (int frame = 0; frame < frames; ++frame) {
    out.push_back({frame, static_cast<std::uint32_t>(hash(frame))});
  }
  return out;
}

LandmarkOptions with(int bucket, int min_count = 1, int window = 2) {
  LandmarkOptions options;
  options.bucket = bucket;
  options.min_count = min_count;
  options.window = window;
  return options;
}

TEST(LandmarkTable, PlacesAreTracksAndFramesOfTheirHash) {
  const LandmarkTable table = table_of({{{1, 7}, {2, 0xFFFFF}, {9, 7}}, {}, {{4, 7}}});
  EXPECT_THAT(places(table, 7), ElementsAre(std::pair{0, 1}, std::pair{0, 9}, std::pair{2, 4}));
  EXPECT_THAT(places(table, 0xFFFFF), ElementsAre(std::pair{0, 2}));
  EXPECT_THAT(places(table, 8), IsEmpty());
  EXPECT_THAT(table.landmarks_per_track(), ElementsAre(3, 0, 1));
  EXPECT_EQ(table.kept(), 4);
  EXPECT_EQ(table_of({}).kept(), 0);
}

TEST(LandmarkTable, FramesAreKeptModuloTheTimeBits) {
  EXPECT_THAT(places(table_of({{{16383, 1}, {16384, 1}, {40000, 1}}}), 1),
              ElementsAre(std::pair{0, 16383}, std::pair{0, 0}, std::pair{0, 40000 - 2 * 16384}));
  LandmarkOptions options;
  options.time_bits = 6;
  EXPECT_THAT(places(table_of({{}, {{65, 1}}}, options), 1), ElementsAre(std::pair{1, 1}));
}

TEST(LandmarkTable, WhatDoesNotFitIsAnError) {
  EXPECT_THROW(table_of({{{0, 1U << 20U}}}), Error);
  LandmarkOptions options;
  options.time_bits = 31;
  EXPECT_EQ(table_of(Tracks(2), options).kept(), 0);
  EXPECT_THROW(table_of(Tracks(3), options), Error);
}

TEST(LandmarkTable, AFullBucketKeepsTheSameTracksGivenAgainAndForAnyNumberOfThreads) {
  RandomStream random(3);
  Tracks tracks(5);
  for (std::vector<Landmark>& of_track : tracks) {
    of_track = track(3000, [&](int) { return random.below(400) * 2600; });
  }
  const int before = num_threads();
  set_num_threads(1);
  const LandmarkTable one = table_of(tracks, with(20));
  EXPECT_EQ(one.kept(), 400 * 20);
  for (const int threads : {2, 3, 7}) {
    set_num_threads(threads);
    const LandmarkTable other = table_of(tracks, with(20));
    for (std::uint32_t hash = 0; hash < 400 * 2600; hash += 2600) {
      ASSERT_THAT(other.places(hash), ElementsAreArray(one.places(hash))) << hash;
    }
  }
  set_num_threads(before);
}

// 1,000 places for 100: over 200 hashes each place's chance is a tenth. By quarters of the order, 5,000 are expected in
// each; the deviation is 61, and four of them are allowed.
TEST(LandmarkTable, AReservoirKeepsEarlyAndLatePlacesAlike) {
  constexpr int kHashes = 200;
  std::vector<Landmark> landmarks;
  for (int frame = 0; frame < 1000; ++frame) {
    for (std::uint32_t hash = 0; hash < kHashes; ++hash) {
      landmarks.push_back({frame, hash});
    }
  }
  const LandmarkTable table = table_of({landmarks}, with(100));
  std::vector<int> quarters(4, 0);
  for (std::uint32_t hash = 0; hash < kHashes; ++hash) {
    const auto found = places(table, hash);
    EXPECT_EQ(found.size(), 100U);
    EXPECT_EQ(std::set(found.begin(), found.end()).size(), 100U);
    for (const auto& [track_position, frame] : found) {
      ++quarters[static_cast<std::size_t>(frame) / 250];
    }
  }
  for (const int quarter : quarters) {
    EXPECT_NEAR(quarter, 5000, 244);
  }
}

TEST(LandmarkAlignment, CountsWithinTheWindowAroundALocalMaximum) {
  // Skews of the track against the query, each hash once: 10 (3 hits), 11 (2), 12 (1), 13 (1), 40 (2), 41 (2).
  const std::vector<int> skews = {10, 10, 10, 11, 11, 12, 13, 40, 40, 41, 41};
  std::vector<Landmark> query;
  std::vector<Landmark> known;
  for (int i = 0; i < static_cast<int>(skews.size()); ++i) {
    query.push_back({i, static_cast<std::uint32_t>(i)});
    known.push_back({i + skews[static_cast<std::size_t>(i)], static_cast<std::uint32_t>(i)});
  }
  const LandmarkTable table = table_of({{}, known});
  const auto found = align_landmarks(table, with(100), query);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(std::tie(found[0].track, found[0].count, found[0].skew, found[0].hits), std::tuple(1U, 6, 10, 11));
  EXPECT_EQ(std::tie(found[1].count, found[1].skew), std::tuple(4, 41));  // of equal neighbours the last
  EXPECT_EQ(align_landmarks(table, with(100, 1, 0), query)[0].count, 3);
  EXPECT_EQ(align_landmarks(table, with(100, 2), query).size(), 1U);
  EXPECT_THAT(align_landmarks(table, with(100, 3), query), IsEmpty());
}

TEST(LandmarkAlignment, OfEqualCountsTheTrackWithTheLargerShareComesFirstThenTheLater) {
  const auto hash = [](int frame) { return 100 + frame; };
  const std::vector<Landmark> query = track(10, hash);
  Tracks tracks = {track(10, hash), track(10, hash), track(10, hash)};
  tracks[1].push_back({50, 5000});
  std::vector<std::uint32_t> order;
  for (const LandmarkAlignment& found : align_landmarks(table_of(tracks), with(100), query)) {
    order.push_back(found.track);
    EXPECT_EQ(found.count, 10);
  }
  EXPECT_THAT(order, ElementsAre(2, 0, 1));
  LandmarkOptions one = with(100);
  one.search_depth = 1;
  EXPECT_EQ(align_landmarks(table_of(tracks), one, query).size(), 1U);
}

TEST(LandmarkAlignment, QueriesThatBeginBeforeTheTrackHaveNegativeSkews) {
  const auto hash = [](int frame) { return 7 * frame; };
  std::vector<Landmark> query = track(20, hash);
  for (Landmark& landmark : query) {
    landmark.frame += 30;
  }
  const auto found = align_landmarks(table_of({track(20, hash)}), with(100), query);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].skew, -30);
  EXPECT_EQ(found[0].count, 20);
  EXPECT_THAT(align_landmarks(table_of({track(20, hash)}), with(100), {}), IsEmpty());
  EXPECT_THAT(align_landmarks(table_of({}), with(100), query), IsEmpty());
}

class AgainstAudfprint : public ::testing::Test {
 protected:
  static std::vector<float> part(const std::vector<std::int64_t>& sound, std::size_t begin, std::int64_t noise) {
    const std::vector<std::int64_t> other = reference_sound(99, 2 * kLandmarkRate);
    std::vector<std::int64_t> mixed(other.size());
    for (std::size_t i = 0; i < mixed.size(); ++i) {
      mixed[i] = std::clamp<std::int64_t>(sound[begin + i] + noise * other[i], -32768, 32767);
    }
    return as_pcm(mixed);
  }
  static std::vector<std::vector<std::int64_t>> sounds() {
    std::vector<std::vector<std::int64_t>> out;
    for (std::uint32_t i = 0; i < 6; ++i) {
      out.push_back(reference_sound(10 + i, 6 * kLandmarkRate));
    }
    std::vector<std::int64_t> joined(out[0].begin(), out[0].begin() + 30000);
    joined.insert(joined.end(), out[1].begin(), out[1].begin() + 40000);
    joined.insert(joined.end(), out[0].begin(), out[0].begin() + 30000);
    out.push_back(joined);
    return out;
  }
};

TEST_F(AgainstAudfprint, AnswersAreItsOwn) {
  LandmarkOptions options = landmark_setting("dense");
  const std::vector<std::vector<std::int64_t>> music = sounds();
  Tracks tracks;
  for (const std::vector<std::int64_t>& sound : music) {
    tracks.push_back(landmarks(as_pcm(sound), options));
  }
  const LandmarkTable table = table_of(tracks, options);
  for (const nlohmann::json& wanted : landmark_reference()["matching"]) {
    options.min_count = wanted["min_count"];
    const std::vector<Landmark> query =
        query_landmarks(part(music[wanted["track"].get<std::size_t>()], wanted["begin"], wanted["noise"]), options);
    const auto found = align_landmarks(table, options, query);
    std::size_t sure = 0;  // what one landmark more or less cannot change
    for (; sure < wanted["rows"].size() && wanted["rows"][sure][1] >= 9; ++sure) {
      const nlohmann::json& row = wanted["rows"][sure];
      ASSERT_LT(sure, found.size()) << wanted;
      EXPECT_EQ(found[sure].track, row[0]) << wanted;
      EXPECT_NEAR(found[sure].count, row[1].get<double>(), 1) << wanted;
      EXPECT_EQ(found[sure].skew, row[2]) << wanted;
      EXPECT_NEAR(found[sure].hits, row[3].get<double>(), 1) << wanted;
    }
    for (std::size_t i = sure; i < found.size(); ++i) {
      EXPECT_LE(found[i].count, 9) << wanted;
    }
  }
}

}  // namespace
}  // namespace earmark::search
