// From which tracks, and from where in them, the pairs of a batch come.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "data/pair_sampler.h"
#include "kernels/error.h"
#include "tests/data/pair_samplers.h"

namespace earmark::data {
namespace {

using Draws = PairOptions::Draws;
using testing::sampler_of;
using testing::store_of;

TEST(PairPlaces, PairsOfOneTrackFollowEachOther) {
  PairOptions options;
  options.pairs = 12;
  options.per_track = 4;
  options.redraws = 200;
  for (const Draws draws : {Draws::per_file, Draws::uniform_time}) {
    options.draws = draws;
    const PairSampler sampler = sampler_of(store_of({30, 30, 30, 30, 30, 30}), options);
    std::map<std::int64_t, int> groups;
    for (std::int64_t step = 0; step < 6; ++step) {
      const auto origins = sampler.batch(step).origins;
      for (std::size_t i = 0; i < origins.size(); i += 4) {
        ++groups[origins[i].track];
        EXPECT_EQ(origins[i + 1].track, origins[i].track);
        EXPECT_EQ(origins[i + 3].track, origins[i].track);
      }
    }
    EXPECT_GE(groups.size(), 5U);
    if (draws == Draws::per_file) {
      EXPECT_EQ(sampler.steps_per_epoch(), 2);
      for (const auto& [track, times] : groups) {
        EXPECT_EQ(times, 3) << track;  // in six steps, three epochs
      }
    }
  }
}

TEST(PairPlaces, ATrackTooShortForItsPairsLeavesTheRestToOthers) {
  PairOptions options;
  options.pairs = options.per_track = 8;
  options.draws = Draws::uniform_time;
  options.redraws = 200;
  const auto origins = sampler_of(store_of({3, 3, 3, 3, 3, 3}), options).batch(0).origins;
  std::map<std::int64_t, int> taken;
  for (const PairOrigin& origin : origins) {
    ++taken[origin.track];
  }
  EXPECT_GE(taken.size(), 3U);
  for (const auto& [track, times] : taken) {
    EXPECT_LE(times, 3) << track;
  }
}

TEST(PairPlaces, AnchorsOfATrackLieApartAsFarAsIsAsked) {
  PairOptions options;
  options.pairs = options.per_track = 8;
  options.apart_s = 0.2;
  options.redraws = 200;
  options.silence_mean_square = 0;
  const auto origins = sampler_of(store_of({4}), options).batch(0).origins;
  double nearest = 1e9;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      nearest =
          std::min(nearest, std::abs(static_cast<double>(origins[i].anchor_start - origins[j].anchor_start)) / 16000);
    }
  }
  EXPECT_GE(nearest, 0.2);
  EXPECT_LT(nearest, 0.96);  // eight segments do not fit into 4 s otherwise
}

TEST(PairPlaces, TheLastTrackHasWhatIsLeft) {
  PairOptions options;
  options.pairs = 10;
  options.per_track = 4;
  options.redraws = 200;
  const PairSampler sampler = sampler_of(store_of({30, 30, 30, 30, 30, 30}), options);
  EXPECT_EQ(sampler.steps_per_epoch(), 2);
  std::map<std::int64_t, int> taken;
  for (const std::int64_t step : {0, 1}) {
    for (const PairOrigin& origin : sampler.batch(step).origins) {
      ++taken[origin.track];
    }
  }
  std::map<int, int> tracks;
  for (const auto& [track, times] : taken) {
    ++tracks[times];
  }
  EXPECT_EQ(tracks, (std::map<int, int>{{2, 2}, {4, 4}}));
}

TEST(PairPlaces, UniformTimeFavoursLongFiles) {
  PairOptions options;
  options.pairs = 1;
  options.draws = Draws::uniform_time;
  options.noise_probability = options.reverb_probability = options.both_probability = 0;
  const PairSampler sampler = sampler_of(store_of({2.92, 20.56}), options);  // 1.96 s and 19.6 s of possible starts
  int in_long = 0;
  for (std::int64_t step = 0; step < 400; ++step) {
    in_long += sampler.batch(step).origins[0].track == 1 ? 1 : 0;
  }
  EXPECT_NEAR(in_long, 364, 30);
}

TEST(PairPlaces, FewFilesFillABatchWithoutOverlap) {
  PairOptions options;
  options.pairs = 8;
  options.redraws = 200;
  const PairSampler sampler = sampler_of(store_of({20, 20}), options);
  for (std::int64_t step = 0; step < 5; ++step) {
    const auto origins = sampler.batch(step).origins;
    for (std::size_t i = 0; i < origins.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        const bool overlap =
            origins[i].track == origins[j].track && std::abs(origins[i].anchor_start - origins[j].anchor_start) < 15360;
        EXPECT_FALSE(overlap);
      }
    }
  }
}

}  // namespace
}  // namespace earmark::data
