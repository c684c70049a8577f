#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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

double gain_db(Pass pass, double cutoff, double hz) {
  std::vector<float> x = testing::sine(hz, 1);
  const double before = rms(std::span(x).subspan(4000));
  filter(pass, cutoff, 16000, x);
  return 20 * std::log10(rms(std::span(x).subspan(4000)) / before);
}

TEST(Filter, IsAFourthOrderButterworth) {
  EXPECT_NEAR(gain_db(Pass::low, 1000, 1000), -3.01, 0.05);
  EXPECT_NEAR(gain_db(Pass::low, 1000, 100), 0, 0.01);
  EXPECT_NEAR(gain_db(Pass::low, 500, 1000), -24.3, 0.5);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 1000), -3.01, 0.05);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 6000), 0, 0.01);
  EXPECT_NEAR(gain_db(Pass::high, 1000, 500), -24.2, 0.5);
  std::vector<float> x(10);
  EXPECT_THROW(filter(Pass::low, 8000, 16000, x), Error);
}

TEST(Augment, OffChangesNothing) {
  std::vector<float> x = testing::melody(0.5);
  const std::vector<float> before = x;
  augment_waveform({}, 1, 2, 3, 16000, x);
  EXPECT_EQ(x, before);
  const Tensor features = Tensor::full({1, 8, 12, 1}, 3);
  augment_features({}, 1, 2, 3, features);
  EXPECT_TRUE(std::ranges::all_of(features.values<float>(), [](float v) { return v == 3; }));
}

TEST(Augment, GainStaysInRange) {
  double least = 100;
  double most = -100;
  for (std::int64_t i = 0; i < 200; ++i) {
    std::vector<float> x(10, 1.0F);
    augment_waveform({.gain_db = 6}, 1, 0, i, 16000, x);
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
    augment_waveform({.band_limit_probability = 0.25}, 1, 0, i, 16000, x);
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
    augment_features({.time_masks = 1, .time_mask_frames = 5, .frequency_masks = 1, .frequency_mask_bands = 4}, 1, 0,
                     index, y);
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

TEST(Augment, MasksLargerThanTheSegmentFit) {
  const Tensor x = Tensor::full({1, 4, 6, 1}, 1);
  for (std::int64_t i = 0; i < 50; ++i) {
    augment_features({.time_masks = 2, .time_mask_frames = 100, .frequency_masks = 2, .frequency_mask_bands = 100}, 1,
                     0, i, x);
  }
}

}  // namespace
}  // namespace earmark::data
