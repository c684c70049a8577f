#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "tests/data/test_sounds.h"

namespace earmark::data {
namespace {

double rms(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return std::sqrt(sum / static_cast<double>(x.size()));
}

Tensor row_of(std::vector<float>& x) {
  return Tensor({1, static_cast<std::int64_t>(x.size())}, DType::f32, x.data(), nullptr);
}

void filter(Pass pass, double cutoff, std::vector<float>& x) {
  kernels::Equalizer equalizer{.filters = true};
  const auto sections = butterworth(pass, cutoff, 16000);
  std::copy(sections.begin(), sections.end(), equalizer.sections.begin());
  kernels::equalize({row_of(x), std::span(&equalizer, 1)});
}

/// Positive `index` of step 0 under seed 1.
void augment_waveform(const AugmentOptions& options, std::int64_t index, std::vector<float>& x) {
  augment_waveforms(options, 1, 0, std::span(&index, 1), 16000, row_of(x));
}
void augment_segment(const AugmentOptions& options, std::int64_t index, const Tensor& x) {
  augment_features(options, 1, 0, View::positive, std::span(&index, 1), x);
}

double gain_db(Pass pass, double cutoff, double hz) {
  std::vector<float> x = testing::sine(hz, 1);
  const double before = rms(std::span(x).subspan(4000));
  filter(pass, cutoff, x);
  return 20 * std::log10(rms(std::span(x).subspan(4000)) / before);
}

TEST(Filter, IsAFourthOrderButterworth) {
  EXPECT_NEAR(gain_db(Pass::low, 1000, 1000), -3.01, 0.05);
  EXPECT_NEAR(gain_db(Pass::low, 1000, 100), 0, 0.01);
  EXPECT_NEAR(gain_db(Pass::low, 500, 1000), -24.3, 0.5);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 1000), -3.01, 0.05);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 6000), 0, 0.01);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 500), -24.2, 0.5);
  EXPECT_THROW(butterworth(Pass::low, 8000, 16000), Error);
}

TEST(Augment, OffChangesNothing) {
  std::vector<float> x = testing::melody(0.5);
  const std::vector<float> before = x;
  augment_waveform({}, 3, x);
  EXPECT_EQ(x, before);
  const Tensor features = Tensor::full({1, 8, 12, 1}, 3);
  augment_segment({}, 3, features);
  EXPECT_TRUE(std::ranges::all_of(features.values<float>(), [](float v) { return v == 3; }));
}

TEST(Augment, GainStaysInRange) {
  double least = 100;
  double most = -100;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<float> x(10, 1.0F);
    augment_waveform({.gain_db = 6}, i, x);
    const double db = 20 * std::log10(static_cast<double>(x[0]));
    least = std::min(least, db);
    most = std::max(most, db);
  }
  EXPECT_GE(least, -6.001);
  EXPECT_LT(least, -5);
  EXPECT_LE(most, 6.001);
  EXPECT_GT(most, 5);
}

TEST(Augment, BandLimitsAreAppliedAsOftenAsAsked) {
  const std::vector<float> before = testing::melody(0.3);
  int changed = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<float> x = before;
    augment_waveform({.band_limit_probability = 0.25}, i, x);
    changed += x != before ? 1 : 0;
    EXPECT_TRUE(std::ranges::all_of(x, [](float v) { return std::isfinite(v); }));
  }
  EXPECT_NEAR(changed, 50, 25);
}

TEST(Augment, MasksAreRectanglesOfTheMean) {
  const Tensor x({1, 20, 30, 1});
  for (std::int64_t i = 0; i < 600; ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(i);
  }
  const double mean = 599.0 / 2;
  bool masked = false;
  for (std::int64_t index = 0; index < 20; ++index) {
    const Tensor y = x.clone();
    augment_segment({.time_masks = 1, .time_mask_frames = 5, .frequency_masks = 1, .frequency_mask_bands = 4}, index,
                    y);
    int bands = 0;
    int frames = 0;
    for (std::int64_t f = 0; f < 20; ++f) {
      const float* row = y.data<float>() + f * 30;
      bands += std::all_of(row, row + 30, [=](float v) { return std::fabs(v - mean) < 0.1; }) ? 1 : 0;
    }
    for (std::int64_t t = 0; t < 30; ++t) {
      bool all = true;
      for (std::int64_t f = 0; f < 20; ++f) {
        all = all && std::fabs(y.data<float>()[f * 30 + t] - mean) < 0.1;
      }
      frames += all ? 1 : 0;
    }
    EXPECT_LE(bands, 4);
    EXPECT_LE(frames, 5);
    masked = masked || bands + frames > 0;
    int differing = 0;
    for (std::int64_t i = 0; i < 600; ++i) {
      differing += y.data<float>()[i] != x.data<float>()[i] ? 1 : 0;
    }
    EXPECT_LE(differing, bands * 30 + frames * 20);
  }
  EXPECT_TRUE(masked);
}

/// What lies in the one rectangle of zeros in a segment of ones: {bands, frames}; fails where it is none.
std::pair<int, int> hole_in(const Tensor& x) {
  const auto frames = static_cast<int>(x.dim(2));
  int least_f = 1000;
  int most_f = -1;
  int least_t = 1000;
  int most_t = -1;
  int zeros = 0;
  for (int i = 0; i < static_cast<int>(x.numel()); ++i) {
    if (x.data<float>()[i] == 0) {
      ++zeros;
      least_f = std::min(least_f, i / frames);
      most_f = std::max(most_f, i / frames);
      least_t = std::min(least_t, i % frames);
      most_t = std::max(most_t, i % frames);
    }
  }
  const std::pair sides{zeros > 0 ? most_f - least_f + 1 : 0, zeros > 0 ? most_t - least_t + 1 : 0};
  EXPECT_EQ(zeros, sides.first * sides.second);
  return sides;
}

TEST(Augment, CutoutsAreRectanglesOfTheirShare) {
  const AugmentOptions options{.cutouts = 1, .mask_fill = AugmentOptions::MaskFill::zero};
  int widest = 0;
  int highest = 0;
  int whole = 0;  // of rectangles that no border cuts off, sides are 4 to 16 and 3 to 12
  for (std::int64_t index = 0; index < 300; ++index) {
    const Tensor x = Tensor::full({1, 40, 30, 1}, 1);
    augment_segment(options, index, x);
    const auto [bands, frames] = hole_in(x);
    highest = std::max(highest, bands);
    widest = std::max(widest, frames);
    whole += bands >= 4 && frames >= 3 ? 1 : 0;
  }
  EXPECT_EQ(highest, 16);
  EXPECT_EQ(widest, 12);
  EXPECT_GT(whole, 200);
}

TEST(Augment, FrequencyMasksHaveALeastHeight) {
  const AugmentOptions options{.frequency_masks = 1,
                               .frequency_mask_bands = 7,
                               .frequency_mask_least_bands = 5,
                               .mask_fill = AugmentOptions::MaskFill::zero};
  std::set<int> heights;
  for (std::int64_t index = 0; index < 100; ++index) {
    const Tensor x = Tensor::full({1, 40, 3, 1}, 1);
    augment_segment(options, index, x);
    heights.insert(hole_in(x).first);
  }
  EXPECT_EQ(heights, std::set<int>({5, 6, 7}));
}

TEST(Augment, MasksOfABatchMayBeAlike) {
  AugmentOptions options{.cutouts = 2, .mask_fill = AugmentOptions::MaskFill::zero, .mask_batch_alike = true};
  const std::vector<std::int64_t> indices = {0, 5};
  const auto masked = [&](std::int64_t step, View view) {
    const Tensor x = Tensor::full({2, 40, 30, 1}, 1);
    augment_features(options, 1, step, view, indices, x);
    return x;
  };
  const auto same = [](const Tensor& a, const Tensor& b) {
    return std::ranges::equal(a.values<float>(), b.values<float>());
  };
  const Tensor x = masked(0, View::positive);
  EXPECT_TRUE(same(x.slice(0, 1), x.slice(1, 2)));
  EXPECT_TRUE(same(masked(0, View::anchor), x));
  EXPECT_FALSE(same(masked(1, View::positive), x));
  options.mask_batch_alike = false;
  const Tensor y = masked(0, View::positive);
  EXPECT_FALSE(same(y.slice(0, 1), y.slice(1, 2)));
  EXPECT_FALSE(same(masked(0, View::anchor), y));
}

TEST(Augment, MasksLargerThanTheSegmentFit) {
  const Tensor x = Tensor::full({1, 4, 6, 1}, 1);
  for (std::int64_t i = 0; i < 50; ++i) {
    augment_segment({.time_masks = 2, .time_mask_frames = 100, .frequency_masks = 2, .frequency_mask_bands = 100}, i,
                    x);
  }
}

TEST(Augment, ManyAtOnceEqualEachAlone) {
  const AugmentOptions options{.gain_db = 6,
                               .band_limit_probability = 0.6,
                               .time_masks = 1,
                               .frequency_masks = 2,
                               .frequency_mask_bands = 3,
                               .cutouts = 1};
  const std::vector<std::int64_t> indices = {4, 0, 7, 2, 9};
  const std::vector<float> melody = testing::melody(0.3);
  const Tensor together({5, 4800});
  const Tensor features({5, 12, 20, 1});
  for (std::int64_t row = 0; row < 5; ++row) {
    std::copy(melody.begin(), melody.end(), together.mutable_data<float>() + row * 4800);
    std::copy_n(melody.begin(), 240, features.mutable_data<float>() + row * 240);
  }
  augment_waveforms(options, 1, 0, indices, 16000, together);
  augment_features(options, 1, 0, View::positive, indices, features);
  for (std::int64_t row = 0; row < 5; ++row) {
    std::vector<float> alone = melody;
    augment_waveform(options, indices[static_cast<std::size_t>(row)], alone);
    EXPECT_TRUE(std::ranges::equal(alone, together.slice(row, row + 1).values<float>()));
    const Tensor segment = Tensor::from<float>({1, 12, 20, 1}, std::span(melody).first(240));
    augment_segment(options, indices[static_cast<std::size_t>(row)], segment);
    EXPECT_TRUE(std::ranges::equal(segment.values<float>(), features.slice(row, row + 1).values<float>()));
  }
}

}  // namespace
}  // namespace earmark::data
