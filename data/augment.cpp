#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/error.h"
#include "kernels/random.h"

namespace earmark::data {
namespace {

constexpr std::uint64_t kWaveformStream = 0x6761696e;
constexpr std::uint64_t kMaskStream = 0x6d61736b;

RandomStream stream(std::uint64_t purpose, std::uint64_t seed, std::int64_t step, std::int64_t index) {
  return RandomStream(seed, (purpose << 32U) + static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index));
}

// One section by the bilinear transform (Bristow-Johnson's audio EQ cookbook).
void biquad(Pass pass, double cutoff_hz, double quality, int sample_rate, std::span<float> x) {
  const double w = 2 * std::numbers::pi * cutoff_hz / sample_rate;
  const double alpha = std::sin(w) / (2 * quality);
  const double edge = pass == Pass::low ? 1 - std::cos(w) : 1 + std::cos(w);
  const auto b0 = static_cast<float>(edge / 2 / (1 + alpha));
  const auto b1 = static_cast<float>((pass == Pass::low ? edge : -edge) / (1 + alpha));
  const auto a1 = static_cast<float>(-2 * std::cos(w) / (1 + alpha));
  const auto a2 = static_cast<float>((1 - alpha) / (1 + alpha));
  float s1 = 0;
  float s2 = 0;
  for (float& v : x) {
    const float y = b0 * v + s1;
    s1 = b1 * v - a1 * y + s2;
    s2 = b0 * v - a2 * y;
    v = y;
  }
}

double log_uniform(RandomStream& random, double low, double high) {
  return low * std::pow(high / low, random.uniform());
}

}  // namespace

void filter(Pass pass, double cutoff_hz, int sample_rate, std::span<float> x) {
  check(cutoff_hz > 0 && cutoff_hz < sample_rate / 2.0, "filter: expected a cutoff within 0 to ", sample_rate / 2.0,
        " Hz, got ", cutoff_hz);
  biquad(pass, cutoff_hz, 0.54119610, sample_rate, x);  // the two pole pairs of the fourth-order Butterworth filter
  biquad(pass, cutoff_hz, 1.30656296, sample_rate, x);
}

void augment_waveform(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t index,
                      int sample_rate, std::span<float> x) {
  RandomStream random = stream(kWaveformStream, seed, step, index);
  if (options.gain_db > 0) {
    const auto gain = static_cast<float>(std::pow(10, random.uniform(-options.gain_db, options.gain_db) / 20));
    for (float& v : x) {
      v *= gain;
    }
  }
  if (options.band_limit_probability > 0 && random.uniform() < options.band_limit_probability) {
    const std::uint64_t kind = random.below(3);
    const double highest = 0.45 * sample_rate;
    if (kind != 1) {
      const double cutoff = kind == 0 ? log_uniform(random, 2000, 7000) : random.uniform(3000, 3800);
      filter(Pass::low, std::min(cutoff, highest), sample_rate, x);
    }
    if (kind != 0) {
      filter(Pass::high, kind == 1 ? log_uniform(random, 60, 500) : random.uniform(250, 400), sample_rate, x);
    }
  }
}

void augment_features(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t index,
                      const Tensor& segment) {
  if (options.time_masks == 0 && options.frequency_masks == 0) {
    return;
  }
  const std::int64_t bands = segment.dim(1);
  const std::int64_t frames = segment.dim(2);
  float* x = segment.mutable_data<float>();
  const double sum = std::accumulate(x, x + bands * frames, 0.0);
  const auto mean = static_cast<float>(sum / static_cast<double>(bands * frames));
  RandomStream random = stream(kMaskStream, seed, step, index);
  const auto range = [&](int longest, std::int64_t extent) {
    const std::int64_t most = std::min<std::int64_t>(longest, extent);
    const auto length = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most + 1)));
    const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(extent - length + 1)));
    return std::pair(begin, begin + length);
  };
  for (int i = 0; i < options.frequency_masks; ++i) {
    const auto [begin, end] = range(options.frequency_mask_bands, bands);
    std::fill(x + begin * frames, x + end * frames, mean);
  }
  for (int i = 0; i < options.time_masks; ++i) {
    const auto [begin, end] = range(options.time_mask_frames, frames);
    for (std::int64_t f = 0; f < bands; ++f) {
      std::fill(x + f * frames + begin, x + f * frames + end, mean);
    }
  }
}

}  // namespace earmark::data
