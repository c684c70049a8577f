// Further augmentations, all off by default: gain and band-limiting of positives; SpecAugment and cutout, of anchors
// too where asked for. Pure functions of (seed, step, index).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/equalize.h"
#include "kernels/tensor.h"

namespace earmark::data {

struct AugmentOptions {
  double gain_db = 0;                 ///< Gain uniform within ± this.
  double band_limit_probability = 0;  ///< A random low-pass (2-7 kHz), high-pass (60-500 Hz) or telephone band.
  int time_masks = 0;                 ///< SpecAugment (Park et al., Interspeech 2019): masks of 0 to ..._frames frames,
  int time_mask_frames = 10;
  int frequency_masks = 0;  ///< and of so many to ..._bands bands.
  int frequency_mask_bands = 8;
  int frequency_mask_least_bands = 0;
  /// Cutout (DeVries and Taylor, 2017, as Chang et al. use it): rectangles whose sides are shares of F and of T, each
  /// uniform from least to most; their middle lies anywhere, and what reaches beyond the segment is cut off.
  int cutouts = 0;
  double cutout_least = 0.1;
  double cutout_most = 0.4;
  enum class MaskFill { mean, zero };
  MaskFill mask_fill = MaskFill::mean;  ///< Of all masks: the segment's mean, or 0: under batch_maximum the maximum.
  bool mask_anchors = false;            ///< Anchors are masked like positives.
  bool mask_batch_alike = false;        ///< One draw for all segments of a batch.
  bool operator==(const AugmentOptions&) const = default;
};

/// Gain and band-limiting of waveforms (N, samples) at `sample_rate`, in place; row i is positive `indices[i]` of its
/// step.
void augment_waveforms(const AugmentOptions& options, std::uint64_t seed, std::int64_t step,
                       std::span<const std::int64_t> indices, int sample_rate, const Tensor& x);
/// Masks segments, (N, F, T, 1), in place; segment i is the positive, or the anchor, of pair `indices[i]`.
enum class View { positive, anchor };
void augment_features(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, View view,
                      std::span<const std::int64_t> indices, const Tensor& segments);

/// The two sections of a Butterworth low-pass or high-pass of fourth order. Throws Error for a cutoff outside 0 to half
/// the sample rate.
enum class Pass { low, high };
std::array<kernels::FilterSection, 2> butterworth(Pass pass, double cutoff_hz, int sample_rate);

}  // namespace earmark::data
