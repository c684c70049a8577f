// The places of a track that sound like a given one, and pairs at such places.
#include "data/alike_places.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "data/pair_sampler.h"
#include "kernels/error.h"
#include "tests/data/pair_samplers.h"

namespace earmark::data {
namespace {

using testing::sampler_of;
using testing::store_of;

constexpr std::int64_t kSecond = 16000;

// `rounds` rounds of a loop, each with noise of its own, after as much music that is not of it.
std::shared_ptr<const PcmStore> loop_of(double seconds, int rounds) {
  const std::vector<float> other = testing::melody(seconds * rounds, 16000, 8);
  const std::vector<float> loop = testing::melody(seconds, 16000, 9);
  std::vector<float> track = other;
  for (int round = 0; round < rounds; ++round) {
    track.insert(track.end(), loop.begin(), loop.end());
  }
  const std::vector<float> hum = testing::sine(100, seconds, 16000);
  for (std::size_t i = 0; i < track.size(); ++i) {
    const std::size_t round = i / loop.size();
    track[i] = 0.9F * track[i] + 0.02F * hum[i * 7 % hum.size()] * static_cast<float>(round);
  }
  std::vector<std::vector<std::int16_t>> tracks;
  tracks.push_back(testing::to_pcm(track));
  return std::make_shared<PcmStore>(PcmStore::in_memory(std::move(tracks)));
}

TEST(AlikePlaces, AreTheOtherRoundsOfALoop) {
  const AlikePlaces alike(loop_of(3, 4), {});
  const std::int64_t start = 12 * kSecond + kSecond / 3;  // in the first round
  auto found = alike.find(0, start, 3, 15360);
  ASSERT_EQ(found.size(), 3U);
  std::sort(found.begin(), found.end());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(static_cast<double>(found[i]),
                static_cast<double>(start + (static_cast<std::int64_t>(i) + 1) * 3 * kSecond), 240);
  }
}

TEST(AlikePlaces, TheMostAlikeComeFirst) {
  const AlikePlaces alike(loop_of(3, 4), {});
  const std::int64_t start = 12 * kSecond + kSecond / 3;
  const auto found = alike.find(0, start, 8, 15360);
  ASSERT_EQ(found.size(), 8U);
  EXPECT_NEAR(static_cast<double>(found[0]), static_cast<double>(start + 3 * kSecond), 240);  // its hum differs least
  for (std::size_t i = 3; i < 8; ++i) {
    for (const std::int64_t round : {3, 6, 9}) {
      EXPECT_GT(std::abs(found[i] - start - round * kSecond), 15360 - 480)
          << i;  // every round is among the first three
    }
  }
  EXPECT_EQ(alike.find(0, start, 3, 15360), std::vector<std::int64_t>(found.begin(), found.begin() + 3));
}

TEST(AlikePlaces, LieApartAndInsideTheTrack) {
  const auto store = store_of({10.01});
  const AlikePlaces alike(store, {});
  const auto samples = static_cast<std::int64_t>(store->track(0).size());
  for (const std::int64_t start : {std::int64_t{0}, 5 * kSecond + 77, samples - 15360}) {
    for (const std::int64_t apart : {std::int64_t{4000}, std::int64_t{15360}}) {
      auto found = alike.find(0, start, 1000, apart);
      EXPECT_GE(found.size(), apart == 4000 ? 20U : 5U);
      EXPECT_LE(found.size(), static_cast<std::size_t>(samples / apart));
      found.push_back(start);
      std::sort(found.begin(), found.end());
      EXPECT_GE(found.front(), 0);
      EXPECT_LE(found.back(), samples - 15360);
      for (std::size_t i = 1; i < found.size(); ++i) {
        EXPECT_GE(found[i] - found[i - 1], apart);
      }
    }
  }
}

TEST(AlikePlaces, ATrackOfOneSegmentHasNone) {
  EXPECT_TRUE(AlikePlaces(store_of({0.97}), {}).find(0, 0, 4, 15360).empty());
}

TEST(AlikePlaces, ManyThreadsFindWhatOneFinds) {
  const auto store = store_of({12, 14, 16});
  const AlikePlaces alone(store, {});
  const AlikePlaces shared(store, {});
  std::vector<std::vector<std::int64_t>> found(12);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < found.size(); ++i) {
    threads.emplace_back([&, i] { found[i] = shared.find(static_cast<std::int64_t>(i % 3), kSecond, 5, 15360); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i], alone.find(static_cast<std::int64_t>(i % 3), kSecond, 5, 15360)) << i;
  }
}

TEST(AlikePlaces, PairsOfATrackBeginWithThem) {
  PairOptions options;
  options.pairs = options.per_track = 8;
  options.alike = 3;
  options.redraws = 200;
  options.draws = PairOptions::Draws::uniform_time;
  const auto store = loop_of(3, 6);
  const PairSampler sampler = sampler_of(store, options);
  int looped = 0;
  for (std::int64_t step = 0; step < 20; ++step) {
    const auto origins = sampler.batch(step).origins;
    if (origins[0].anchor_start < 18 * kSecond || origins[0].anchor_start > 33 * kSecond) {
      continue;  // not in the loop, or in the round that ends with the track
    }
    ++looped;
    for (std::size_t i = 1; i <= 3; ++i) {
      const std::int64_t off = std::abs(origins[i].anchor_start - origins[0].anchor_start) % (3 * kSecond);
      EXPECT_LE(std::min(off, 3 * kSecond - off), 240) << "step " << step << ", pair " << i;
    }
  }
  EXPECT_GE(looped, 4);
}

TEST(AlikePlaces, ABatchDependsOnItsStepAlone) {
  PairOptions options;
  options.pairs = 8;
  options.per_track = 4;
  options.alike = 2;
  const auto store = store_of({20, 20, 20});
  const PairSampler one = sampler_of(store, options);
  const PairSampler other = sampler_of(store, options);
  one.batch(0);
  one.batch(1);
  const auto a = one.batch(5).origins;
  const auto b = other.batch(5).origins;
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].track, b[i].track);
    EXPECT_EQ(a[i].anchor_start, b[i].anchor_start);
    EXPECT_EQ(a[i].positive_start, b[i].positive_start);
  }
}

TEST(AlikePlaces, AreFewerThanThePairsOfATrack) {
  PairOptions options;
  options.pairs = 8;
  options.per_track = 4;
  options.alike = 4;
  const auto store = store_of({20});
  try {
    sampler_of(store, options);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "training: expected fewer pairs alike (pairs.alike) than of each track (pairs.per_track: 4), got 4");
  }
}

}  // namespace
}  // namespace earmark::data
