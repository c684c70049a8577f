#include "data/pair_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/loader.h"
#include "data/permutation.h"
#include "data/room.h"
#include "kernels/error.h"
#include "tests/data/pair_samplers.h"
#include "tests/data/test_sounds.h"
#include "tests/log_mel_reference.h"

namespace earmark::data {
namespace {

using testing::pink_noise;
using testing::sampler_of;
using testing::store_of;

bool same(const Tensor& a, const Tensor& b) { return std::ranges::equal(a.values<float>(), b.values<float>()); }

TEST(PairSampler, BatchesHaveTheirShapeAndAreFinite) {
  PairOptions options;
  options.pairs = 6;
  const Batch batch = sampler_of(store_of({3, 4, 5}), options).batch(0);
  EXPECT_EQ(batch.clean.shape(), Shape({6, 64, 96, 1}));
  EXPECT_EQ(batch.distorted.shape(), Shape({6, 64, 96, 1}));
  EXPECT_EQ(batch.origins.size(), 6U);
  for (const Tensor& t : {batch.clean, batch.distorted}) {
    EXPECT_TRUE(std::ranges::all_of(t.values<float>(), [](float v) { return std::isfinite(v); }));
  }
  EXPECT_FALSE(same(batch.clean, batch.distorted));
}

TEST(PairSampler, AStepIsAPureFunctionOfItsNumber) {
  PairOptions options;
  options.pairs = 4;
  options.augment = {3, 0.5, 1, 10, 1, 8};
  const auto store = store_of({3, 4});
  const PairSampler one = sampler_of(store, options);
  const PairSampler other = sampler_of(store, options);
  const Batch late = one.batch(17);
  one.batch(3);
  EXPECT_TRUE(same(late.clean, other.batch(17).clean));
  EXPECT_TRUE(same(late.distorted, other.batch(17).distorted));
  EXPECT_FALSE(same(late.clean, other.batch(18).clean));
  options.seed = 5;
  EXPECT_FALSE(same(late.clean, sampler_of(store, options).batch(17).clean));
}

TEST(PairSampler, PartsOfABatchAreThatBatch) {
  PairOptions options;
  options.pairs = 6;
  options.augment = {3, 0.5, 1, 10, 1, 8};
  options.augment.mask_anchors = true;
  using Normalization = FeatureOptions::Normalization;
  for (const Normalization normalization : {Normalization::mean, Normalization::batch_maximum}) {
    FeatureOptions features;
    features.normalization = normalization;
    const PairSampler sampler = sampler_of(store_of({3, 4, 5}), options, features);
    const Batch whole = sampler.batch(2);
    for (const std::int64_t ranks : {1, 2, 3, 6}) {
      const std::int64_t share = options.pairs / ranks;
      for (std::int64_t begin = 0; begin < options.pairs; begin += share) {
        const Batch part = sampler.batch(2, {begin, begin + share}, Device{});
        EXPECT_TRUE(same(part.clean, whole.clean.slice(begin, begin + share))) << begin << " of " << ranks;
        EXPECT_TRUE(same(part.distorted, whole.distorted.slice(begin, begin + share))) << begin << " of " << ranks;
        EXPECT_EQ(part.origins.size(), 6U);
      }
    }
    EXPECT_THROW(sampler.batch(2, {3, 3}, Device{}), Error);
    EXPECT_THROW(sampler.batch(2, {4, 7}, Device{}), Error);
  }
}

TEST(PairSampler, WorkersChangeNothing) {
  PairOptions options;
  options.pairs = 3;
  const auto sampler = std::make_shared<const PairSampler>(sampler_of(store_of({3, 3, 3}), options));
  Loader none(sampler, 5, 0);
  Loader one(sampler, 5, 1, 2);
  Loader four(sampler, 5, 4, 3);
  for (std::int64_t step = 5; step < 11; ++step) {
    const Batch a = none.next();
    const Batch b = one.next();
    const Batch c = four.next();
    EXPECT_EQ(a.step, step);
    EXPECT_EQ(c.step, step);
    EXPECT_TRUE(same(a.clean, b.clean) && same(a.clean, c.clean));
    EXPECT_TRUE(same(a.distorted, b.distorted) && same(a.distorted, c.distorted));
  }
}

TEST(PairSampler, AnEpochDrawsEveryFileOnce) {
  PairOptions options;
  options.pairs = 4;
  const PairSampler sampler = sampler_of(store_of(std::vector<double>(9, 1.5)), options);
  EXPECT_EQ(sampler.steps_per_epoch(), 2);
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<std::int64_t> drawn;
    for (std::int64_t step = 2 * epoch; step < 2 * epoch + 2; ++step) {
      for (const PairOrigin& origin : sampler.batch(step).origins) {
        drawn.push_back(origin.track);
      }
    }
    orders.insert(drawn);
    EXPECT_EQ(std::set<std::int64_t>(drawn.begin(), drawn.end()).size(), 8U);
  }
  EXPECT_EQ(orders.size(), 5U);  // shuffled anew each time
}

TEST(PairSampler, ShiftsAndRatiosCoverTheirRanges) {
  PairOptions options;
  options.pairs = 50;
  options.silence_mean_square = 0;
  const PairSampler sampler = sampler_of(store_of(std::vector<double>(50, 4)), options);
  std::map<DistortionKind, int> kinds;
  double least = 1e9;
  double most = -1e9;
  double low = 1e9;
  double high = -1e9;
  for (std::int64_t step = 0; step < 4; ++step) {
    for (const PairOrigin& origin : sampler.batch(step).origins) {
      const auto shift = static_cast<double>(origin.positive_start - origin.anchor_start);
      EXPECT_LE(std::fabs(shift), 800);
      least = std::min(least, shift);
      most = std::max(most, shift);
      low = std::min(low, origin.snr_db);
      high = std::max(high, origin.snr_db);
      ++kinds[origin.kind];
      EXPECT_EQ(origin.rir >= 0, has_reverb(origin.kind));
    }
  }
  EXPECT_LT(least, -700);
  EXPECT_GT(most, 700);
  EXPECT_GE(low, 0);
  EXPECT_LT(low, 1);
  EXPECT_LE(high, 20);
  EXPECT_GT(high, 19);
  for (const auto kind : {DistortionKind::noise, DistortionKind::reverb, DistortionKind::noise_reverb}) {
    EXPECT_NEAR(kinds[kind], 67, 25) << name_of(kind);
  }
}

TEST(PairSampler, SilentPlacesAreDrawnAgain) {
  std::vector<float> x = testing::melody(4);
  x.resize(16 * 16000, 0.0F);  // three quarters are silence
  auto store = std::make_shared<PcmStore>(PcmStore::in_memory({testing::to_pcm(x)}));
  PairOptions options;
  options.pairs = 1;
  options.redraws = 100;
  const PairSampler sampler = sampler_of(store, options);
  for (std::int64_t step = 0; step < 30; ++step) {
    EXPECT_LT(sampler.batch(step).origins[0].anchor_start, 4 * 16000);
  }
  // All silent: the limit ends the search.
  auto silent = std::make_shared<PcmStore>(PcmStore::in_memory({std::vector<std::int16_t>(40000)}));
  EXPECT_NO_THROW(sampler_of(silent, options).batch(0));
}

TEST(PairSampler, AnchorsAreWhatIndexingSees) {
  FeatureOptions features;
  PairOptions options;
  options.pairs = 4;
  const auto store = store_of({3, 4, 5, 6});
  const PairSampler sampler = sampler_of(store, options, features);
  const Batch batch = sampler.batch(0);
  for (std::int64_t i = 0; i < 4; ++i) {
    const PairOrigin& origin = batch.origins[static_cast<std::size_t>(i)];
    const auto pcm = store->track(origin.track);
    std::vector<float> x(pcm.size());
    std::transform(pcm.begin(), pcm.end(), x.begin(), [](std::int16_t v) { return static_cast<float>(v) / 32767.0F; });
    // The whole track's frames at this offset: drop what precedes it modulo one hop.
    const auto first = static_cast<std::size_t>(origin.anchor_start % features.hop);
    const Tensor whole = log_mel(std::span(x).subspan(first), features);
    const std::int64_t frame = origin.anchor_start / features.hop;
    const Tensor wanted({1, 64, 96, 1});
    kernels::cut_segments(features, {whole, wanted, frame, 1});
    for (std::int64_t k = 0; k < 64 * 96; ++k) {
      const std::int64_t t = k % 96;
      if (frame + t >= 2) {  // at the very beginning `whole` reflects at another sample
        EXPECT_NEAR(batch.clean.data<float>()[i * 64 * 96 + k], wanted.data<float>()[k], 2e-2);
      }
    }
  }
}

/// The positive that an origin stands for, from the stored music, the room and the noise: (margins and segment).
std::vector<float> heard(const PairOrigin& origin, const PcmStore& store, const NoiseBank& noise, const RirBank& rooms,
                         const DistortWindow& window) {
  const auto pcm = store.track(origin.track);
  const auto n = static_cast<std::int64_t>(pcm.size());
  const auto total = static_cast<std::size_t>(window.total());
  std::vector<float> music(total);
  for (std::size_t i = 0; i < total; ++i) {
    std::int64_t at = origin.positive_start - window.margin_before - window.context + static_cast<std::int64_t>(i);
    at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
    music[i] = static_cast<float>(pcm[static_cast<std::size_t>(at)]) / 32767.0F;
  }
  std::vector<std::int16_t> cut(total);
  std::vector<float> noises(total);
  if (has_noise(origin.kind)) {
    noise.copy(origin.noise, cut);
    std::transform(cut.begin(), cut.end(), noises.begin(), [](std::int16_t v) { return static_cast<float>(v); });
  }
  const Rir* room = has_reverb(origin.kind) ? &rooms.rir(origin.rir) : nullptr;
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  distort(music, noises, {.kind = origin.kind, .snr_db = origin.snr_db, .rir = room}, window, out);
  return out;
}

TEST(PairSampler, PositivesAreWhatTheirOriginsSay) {
  const FeatureOptions features;
  PairOptions options;
  options.pairs = 12;
  const auto store = store_of({3, 4, 5, 6});
  const auto noise = pink_noise();
  const RirBank rooms = simulate_rooms(3, 1);
  const PairSampler sampler(store, noise, rooms, features, options);
  const DistortWindow window{.context = features.sample_rate,
                             .margin_before = features.n_fft / 2,
                             .segment = features.segment_samples(),
                             .margin_after = features.n_fft / 2};
  const Batch batch = sampler.batch(2);
  std::set<DistortionKind> kinds;
  for (std::size_t i = 0; i < batch.origins.size(); ++i) {
    const PairOrigin& origin = batch.origins[i];
    kinds.insert(origin.kind);
    const std::vector<float> sound = heard(origin, *store, *noise, rooms, window);
    for (const std::int64_t t : {0, 1, 50, 95}) {
      const std::vector<double> wanted =
          testing::naive_log_mel_frame(sound, window.margin_before + t * features.hop, features);
      for (std::size_t f = 0; f < wanted.size(); ++f) {
        const std::size_t at = (i * wanted.size() + f) * 96 + static_cast<std::size_t>(t);
        EXPECT_NEAR(batch.distorted.values<float>()[at], wanted[f], 1e-2)
            << sampler.describe(origin) << ", band " << f << ", frame " << t;
      }
    }
  }
  EXPECT_EQ(kinds.size(), 3U);
}

/// The same for reverberation in a circle, by its definition: noise at its ratio over all that is kept, every sample of
/// the response `whole` up to `after` samples behind its direct path, the largest sample 1.
std::vector<float> heard_in_a_circle(const PairOrigin& origin, const PcmStore& store, const NoiseBank& noise,
                                     const RirBank& whole, std::int64_t after, const FeatureOptions& features) {
  const std::int64_t margin = features.n_fft / 2;
  const auto kept = static_cast<std::size_t>(features.segment_samples() + 2 * margin);
  const auto pcm = store.track(origin.track);
  const auto n = static_cast<std::int64_t>(pcm.size());
  std::int64_t longest = 0;  // of all responses: noise is cut behind what the longest needs
  for (std::int64_t i = 0; i < whole.size(); ++i) {
    longest = std::max(longest, std::min<std::int64_t>(std::ssize(whole.rir(i).samples), whole.rir(i).delay + after));
  }
  std::vector<std::int16_t> cut(kept);
  noise.copy({origin.noise.noise, origin.noise.start + longest - 1}, cut);
  std::vector<double> dry(kept);
  double music_energy = 0;
  double noise_energy = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    std::int64_t at = origin.positive_start - margin + static_cast<std::int64_t>(i);
    at = at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at;
    dry[i] = pcm[static_cast<std::size_t>(at)];
    music_energy += dry[i] * dry[i];
    noise_energy += static_cast<double>(cut[i]) * cut[i];
  }
  const double gain = std::sqrt(music_energy / noise_energy) * std::pow(10, -origin.snr_db / 20);
  for (std::size_t i = 0; i < kept; ++i) {
    dry[i] += has_noise(origin.kind) ? gain * cut[i] : 0;
  }
  const Rir& room = whole.rir(origin.rir);
  const auto length = std::min(room.samples.size(), static_cast<std::size_t>(room.delay + after));
  std::vector<double> wet(kept);
  double peak = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    for (std::size_t k = 0; k < length; ++k) {
      wet[i] +=
          static_cast<double>(room.samples[k]) * dry[(i + static_cast<std::size_t>(room.delay) + kept - k) % kept];
    }
    peak = std::max(peak, std::fabs(wet[i]));
  }
  std::vector<float> out(kept);
  std::transform(wet.begin(), wet.end(), out.begin(), [&](double v) { return static_cast<float>(v / peak); });
  return out;
}

/// NAFP's batches: everything by its definition, from the origins alone.
TEST(PairSampler, NafpsBatchesAreWhatTheirOriginsSay) {
  FeatureOptions features = testing::nafp_features();
  features.mel_bands = 40;
  PairOptions options;
  options.pairs = 5;
  options.shift_s = 0.2;
  options.noise_probability = 0;
  options.reverb_probability = 0.3;
  options.both_probability = 0.7;
  options.snr_max_db = 10;
  options.reverb = PairOptions::Reverb::circular;
  options.rir_s = 0.075;
  std::vector<std::vector<std::int16_t>> tracks;
  for (std::uint64_t i = 0; i < 6; ++i) {
    tracks.push_back(testing::to_pcm(testing::melody(2 + static_cast<double>(i), 8000, i + 1)));
  }
  const auto store = std::make_shared<PcmStore>(PcmStore::in_memory(std::move(tracks), 8000));
  auto noise = std::make_shared<NoiseBank>();
  noise->add_colored(NoiseColor::pink, 3, 0, 8000);
  const RirBank rooms = simulate_rooms(3, 1, {}, 8000);
  const PairSampler sampler(store, noise, rooms, features, options);
  const Batch batch = sampler.batch(1);

  std::vector<std::vector<double>> frames;  // of all positives
  for (const PairOrigin& origin : batch.origins) {
    const std::vector<float> sound = heard_in_a_circle(origin, *store, *noise, rooms, 600, features);
    for (std::int64_t t = 0; t < 32; ++t) {
      frames.push_back(testing::naive_log_mel_frame(sound, 512 + t * features.hop, features));
    }
  }
  // Anchors are softer than what has been scaled to a largest sample of 1: their maximum is below.
  double maximum = -100;
  for (const auto& frame : frames) {
    maximum = std::max(maximum, *std::ranges::max_element(frame));
  }
  EXPECT_EQ(*std::ranges::max_element(batch.distorted.values<float>()), 0);
  EXPECT_LT(*std::ranges::max_element(batch.clean.values<float>()), 0);
  for (std::size_t i = 0; i < batch.origins.size(); ++i) {
    for (std::size_t t = 0; t < 32; ++t) {
      for (std::size_t f = 0; f < 40; ++f) {
        ASSERT_NEAR(batch.distorted.values<float>()[(i * 40 + f) * 32 + t], frames[i * 32 + t][f] - maximum, 1e-3)
            << sampler.describe(batch.origins[i]) << ", band " << f << ", frame " << t;
      }
    }
  }
  options.augment.cutouts = 1;
  options.augment.mask_fill = AugmentOptions::MaskFill::zero;
  options.augment.mask_anchors = options.augment.mask_batch_alike = true;
  const Batch masked = PairSampler(store, noise, rooms, features, options).batch(1);
  for (const auto& [with, without] : {std::pair(masked.clean, batch.clean), {masked.distorted, batch.distorted}}) {
    std::int64_t cut = 0;
    for (std::int64_t i = 0; i < with.numel(); ++i) {
      const bool here = masked.clean.data<float>()[i % (40 * 32)] == 0;  // the first anchor's is everyone's
      ASSERT_EQ(with.data<float>()[i], here ? 0 : without.data<float>()[i]);
      cut += here ? 1 : 0;
    }
    EXPECT_GT(cut, 0);
  }
}

TEST(PairSampler, UndistortedUnshiftedPositivesEqualTheirAnchors) {
  PairOptions options;
  options.pairs = 4;
  options.shift_s = 0;
  options.noise_probability = options.reverb_probability = options.both_probability = 0;
  const Batch batch = PairSampler(store_of({3, 4}), nullptr, {}, {}, options).batch(0);
  EXPECT_TRUE(same(batch.clean, batch.distorted));
}

TEST(PairSampler, SegmentsAsLongAsTheFileWork) {
  PairOptions options;
  options.pairs = 2;
  const Batch batch = sampler_of(store_of({0.96, 0.96}), options).batch(0);
  EXPECT_EQ(batch.origins[0].anchor_start, 0);
  EXPECT_EQ(batch.origins[0].positive_start, 0);
}

TEST(PairSampler, OriginsAreDescribed) {
  PairOptions options;
  options.pairs = 1;
  options.noise_probability = options.reverb_probability = 0;
  const PairSampler sampler = sampler_of(store_of({3}), options);
  const std::string text = sampler.describe(sampler.batch(0).origins[0]);
  for (const char* part : {"track 0 at ", " s, noise_reverb, pink at ", " dB, room of "}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(PairSampler, WhatIsMissingIsSaid) {
  const auto store = store_of({3});
  EXPECT_THROW(sampler_of(std::make_shared<PcmStore>(PcmStore::in_memory({})), {}), Error);
  EXPECT_THROW(PairSampler(store, nullptr, simulate_rooms(1, 1), {}, {}), Error);
  EXPECT_THROW(PairSampler(store, pink_noise(), {}, {}, {}), Error);
  EXPECT_THROW(sampler_of(store_of({0.5}), {}), Error);
  FeatureOptions features;
  features.sample_rate = 8000;
  features.f_max = 4000;
  EXPECT_THROW(sampler_of(store, {}, features), Error);
}

TEST(Permutation, IsOneAndDependsOnItsKeys) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 16, 17, 100, 1000}) {
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < n; ++i) {
      seen.insert(permuted(i, n, 7, 3));
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), n);
    EXPECT_EQ(*seen.rbegin(), n - 1);
  }
  int moved = 0;
  int reseeded = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    moved += permuted(i, 1000, 7, 3) != permuted(i, 1000, 7, 4) ? 1 : 0;
    reseeded += permuted(i, 1000, 7, 3) != permuted(i, 1000, 8, 3) ? 1 : 0;
  }
  EXPECT_GT(moved, 980);
  EXPECT_GT(reseeded, 980);
}

TEST(Permutation, PlacesAreUniform) {
  std::array<int, 10> counts{};
  for (std::uint64_t shuffle = 0; shuffle < 5000; ++shuffle) {
    ++counts.at(static_cast<std::size_t>(permuted(0, 10, 1, shuffle)));
  }
  for (const int count : counts) {
    EXPECT_NEAR(count, 500, 120);
  }
}

}  // namespace
}  // namespace earmark::data
