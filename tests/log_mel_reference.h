// Log-mel spectrograms by their definition, for tests on every device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "kernels/spectrogram.h"

namespace earmark::testing {

/// Sample i, mirrored into x where it lies beyond an end.
inline double reflected_sample(std::span<const float> x, std::int64_t i) {
  const auto n = static_cast<std::int64_t>(x.size());
  while (i < 0 || i >= n) {
    i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
  }
  return static_cast<double>(x[static_cast<std::size_t>(i)]);
}

/// One frame of a log-mel spectrogram by the definition, in double: window, DFT, power or magnitude, dense mel filters,
/// logarithm.
inline std::vector<double> naive_log_mel_frame(std::span<const float> x, std::int64_t centre, const FeatureOptions& o) {
  const auto n = static_cast<std::size_t>(o.n_fft);
  const bool magnitude = o.compression == FeatureOptions::Compression::log_magnitude;
  std::vector<double> power(n / 2 + 1);
  for (std::size_t k = 0; k <= n / 2; ++k) {
    double re = 0;
    double im = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / o.n_fft);
      const double value = window * reflected_sample(x, centre - o.n_fft / 2 + static_cast<std::int64_t>(i));
      const double angle = 2 * std::numbers::pi * static_cast<double>(i * k % n) / o.n_fft;
      re += value * std::cos(angle);
      im -= value * std::sin(angle);
    }
    power[k] = magnitude ? std::hypot(re, im) : re * re + im * im;
  }
  const std::vector<double> bank = mel_filter_bank(o);
  std::vector<double> out(static_cast<std::size_t>(o.mel_bands));
  for (std::size_t m = 0; m < out.size(); ++m) {
    double sum = 0;
    for (std::size_t k = 0; k < power.size(); ++k) {
      sum += bank[m * power.size() + k] * power[k];
    }
    out[m] = magnitude ? std::log10(sum + 0.06) : 10 * std::log10(std::max(sum, 1e-10));
  }
  return out;
}

/// The front end of Chang et al. (ICASSP 2021).
inline FeatureOptions nafp_features() {
  FeatureOptions o;
  o.sample_rate = 8000;
  o.n_fft = 1024;
  o.hop = 256;
  o.mel_bands = 256;
  o.f_min = 300;
  o.f_max = 4000;
  o.frames = 32;
  o.hop_frames = 16;
  o.normalization = FeatureOptions::Normalization::batch_maximum;
  o.mel_scale = FeatureOptions::MelScale::slaney;
  o.compression = FeatureOptions::Compression::log_magnitude;
  return o;
}

}  // namespace earmark::testing
