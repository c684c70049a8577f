// Training batches made on a GPU: the same draws as on the CPU, and the same numbers to 1e-4 of the largest.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "data/loader.h"
#include "data/pair_sampler.h"
#include "kernels/random.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

using data::Batch;
using data::PairOptions;
using data::PairSampler;

class GpuBatch : public GpuTest {};

constexpr int kRate = 4000;

FeatureOptions small_features() {
  FeatureOptions features;
  features.sample_rate = kRate;
  features.n_fft = 128;
  features.hop = 40;
  features.mel_bands = 16;
  features.f_max = 2000;
  features.frames = 24;
  return features;
}

/// Three sines over soft noise.
std::vector<std::int16_t> music(std::int64_t samples, std::uint64_t seed) {
  RandomStream random(seed);
  std::vector<std::int16_t> out;
  const double base = random.uniform(100, 400);
  for (std::int64_t i = 0; i < samples; ++i) {
    const double t = static_cast<double>(i) / kRate;
    double x = 0.02 * random.normal();
    for (const double overtone : {1.0, 2.51, 3.7}) {
      x += 0.2 * std::sin(2 * std::numbers::pi * base * overtone * t * (1 + 0.1 * t));
    }
    out.push_back(static_cast<std::int16_t>(std::lround(20000 * std::clamp(x, -1.0, 1.0))));
  }
  return out;
}

/// Decaying noise of several lengths, so that transforms have several sizes.
data::RirBank rooms() {
  data::RirBank bank;
  for (const std::int64_t length : {60, 500, 3000}) {
    RandomStream random(static_cast<std::uint64_t>(length));
    std::vector<float> samples(static_cast<std::size_t>(length));
    for (std::int64_t i = 0; i < length; ++i) {
      const double level = std::exp(-7.0 * static_cast<double>(i) / static_cast<double>(length));
      samples[static_cast<std::size_t>(i)] = static_cast<float>(i == 17 ? 1 : 0.3 * level * random.normal());
    }
    bank.add(data::make_rir(samples, "room of " + std::to_string(length)));
  }
  return bank;
}

PairSampler sampler_of(const PairOptions& options, const FeatureOptions& features) {
  std::vector<std::vector<std::int16_t>> tracks;
  for (std::uint64_t track = 0; track < 9; ++track) {
    // From a segment alone, which is reflected on both sides, to some seconds.
    tracks.push_back(music(features.segment_samples() + static_cast<std::int64_t>(track * track) * 150, track));
  }
  auto noise = std::make_shared<data::NoiseBank>();
  noise->add_colored(data::NoiseColor::pink, 1, 0, kRate);
  noise->add_colored(data::NoiseColor::white, 0.1, 0, kRate);  // shorter than what is cut
  return {std::make_shared<data::PcmStore>(data::PcmStore::in_memory(std::move(tracks), kRate)), noise, rooms(),
          features, options};
}

/// The largest difference, by the largest magnitude.
double relative_difference(const Tensor& there, const Tensor& here) {
  const Tensor back = there.to(Device{});
  double worst = 0;
  double largest = 0;
  for (std::int64_t i = 0; i < here.numel(); ++i) {
    const auto want = static_cast<double>(here.data<float>()[i]);
    worst = std::max(worst, std::abs(static_cast<double>(back.data<float>()[i]) - want));
    largest = std::max(largest, std::abs(want));
  }
  return worst / largest;
}

void expect_the_cpus(const PairSampler& sampler, std::int64_t step) {
  const Batch want = sampler.batch(step);
  const Batch got = sampler.batch(step, kGpu);
  EXPECT_EQ(got.clean.device(), kGpu);
  EXPECT_EQ(got.distorted.device(), kGpu);
  ASSERT_EQ(got.origins.size(), want.origins.size());
  for (std::size_t i = 0; i < want.origins.size(); ++i) {
    EXPECT_EQ(got.origins[i].anchor_start, want.origins[i].anchor_start);
  }
  EXPECT_LT(relative_difference(got.clean, want.clean), 1e-4);
  EXPECT_LT(relative_difference(got.distorted, want.distorted), 1e-4);
}

TEST_F(GpuBatch, IsTheCpusForAnySeed) {
  PairOptions options;
  options.pairs = 7;
  for (const std::uint64_t seed : {0, 1, 2}) {
    options.seed = seed;
    const PairSampler sampler = sampler_of(options, small_features());
    expect_the_cpus(sampler, 0);
    expect_the_cpus(sampler, 11);
  }
}

TEST_F(GpuBatch, AllAugmentationsToo) {
  PairOptions options;
  options.pairs = 8;
  options.augment = {6, 0.7, 2, 5, 1, 4};
  for (const auto normalization : {FeatureOptions::Normalization::none, FeatureOptions::Normalization::mean,
                                   FeatureOptions::Normalization::max_relative}) {
    FeatureOptions features = small_features();
    features.normalization = normalization;
    expect_the_cpus(sampler_of(options, features), 3);
  }
}

TEST_F(GpuBatch, NafpsToo) {
  PairOptions options;
  options.pairs = 6;
  options.noise_probability = options.reverb_probability = 0.2;
  options.both_probability = 0.6;
  options.reverb = PairOptions::Reverb::circular;
  options.rir_s = 0.075;
  options.augment.frequency_masks = options.augment.cutouts = 1;
  options.augment.mask_fill = data::AugmentOptions::MaskFill::zero;
  options.augment.mask_anchors = options.augment.mask_batch_alike = true;
  FeatureOptions features = small_features();
  features.normalization = FeatureOptions::Normalization::batch_maximum;
  features.mel_scale = FeatureOptions::MelScale::slaney;
  features.compression = FeatureOptions::Compression::log_magnitude;
  expect_the_cpus(sampler_of(options, features), 2);
}

TEST_F(GpuBatch, OneKindOfDistortionAlone) {
  PairOptions options;
  options.pairs = 3;
  options.draws = PairOptions::Draws::uniform_time;
  for (const auto& [noise, reverb, both] :
       {std::tuple{0.0, 0.0, 0.0}, {1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}) {
    options.noise_probability = noise;
    options.reverb_probability = reverb;
    options.both_probability = both;
    expect_the_cpus(sampler_of(options, small_features()), 5);
  }
}

bool same(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.to(Device{}).raw(), b.to(Device{}).raw(), a.bytes()) == 0;
}

/// Workers have streams of their own; what next() gives may be used on any.
TEST_F(GpuBatch, LoadersHandOutCompleteBatches) {
  PairOptions options;
  options.pairs = 4;
  options.augment = {3, 0.5, 1, 5, 1, 4};
  const auto sampler = std::make_shared<const PairSampler>(sampler_of(options, small_features()));
  data::Loader none(sampler, 4, 0, 1, kGpu);
  data::Loader three(sampler, 4, 3, 4, kGpu);
  for (std::int64_t step = 4; step < 9; ++step) {
    const Batch a = none.next();
    const Batch b = three.next();
    EXPECT_EQ(b.step, step);
    EXPECT_EQ(b.clean.device(), kGpu);
    EXPECT_TRUE(same(a.clean, b.clean) && same(a.distorted, b.distorted)) << "step " << step;
  }
  data::Loader dropped(sampler, 0, 2, 3, kGpu);  // ends with batches under way
  dropped.next();
}

TEST_F(GpuBatch, AGpuThatIsNotThereFailsInNext) {
  const auto sampler = std::make_shared<const PairSampler>(sampler_of({.pairs = 2}, small_features()));
  data::Loader loader(sampler, 0, 1, 2, Device{Backend::cuda, 1000});
  EXPECT_THROW(loader.next(), Error);
}

}  // namespace
}  // namespace earmark::testing
