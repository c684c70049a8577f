// Further augmentations of positives, all off by default: gain, band-limiting, SpecAugment. Pure functions of (seed,
// step, index).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace earmark::data {

struct AugmentOptions {
  double gain_db = 0;                 ///< Gain uniform within ± this.
  double band_limit_probability = 0;  ///< A random low-pass (2-7 kHz), high-pass (60-500 Hz) or telephone band.
  int time_masks = 0;                 ///< SpecAugment (Park et al., Interspeech 2019): masks of 0 to ..._frames frames,
  int time_mask_frames = 10;
  int frequency_masks = 0;  ///< and of 0 to ..._bands bands, filled with the segment's mean.
  int frequency_mask_bands = 8;
  bool operator==(const AugmentOptions&) const = default;
};

/// Gain and band-limiting, in place.
void augment_waveform(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t index,
                      int sample_rate, std::span<float> x);
/// Masks one segment, (1, F, T, 1), in place.
void augment_features(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, std::int64_t index,
                      const Tensor& segment);

/// Butterworth low-pass or high-pass of fourth order (two biquads), in place, from rest.
enum class Pass { low, high };
void filter(Pass pass, double cutoff_hz, int sample_rate, std::span<float> x);

}  // namespace earmark::data
