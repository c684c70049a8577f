#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <vector>

#include "kernels/error.h"
#include "kernels/random.h"
#include "kernels/spec_augment.h"

namespace earmark::data {
namespace {

constexpr std::uint64_t kWaveformStream = 0x6761696e;
constexpr std::uint64_t kMaskStream = 0x6d61736b;
constexpr std::uint64_t kAnchorMaskStream = 0x6d61736c;

RandomStream stream(std::uint64_t purpose, std::uint64_t seed, std::int64_t step, std::int64_t index) {
  return RandomStream(seed, (purpose << 32U) + static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index));
}

// One section by the bilinear transform (Bristow-Johnson's audio EQ cookbook).
kernels::FilterSection section(Pass pass, double cutoff_hz, double quality, int sample_rate) {
  const double w = 2 * std::numbers::pi * cutoff_hz / sample_rate;
  const double alpha = std::sin(w) / (2 * quality);
  const double edge = pass == Pass::low ? 1 - std::cos(w) : 1 + std::cos(w);
  const double b0 = edge / 2 / (1 + alpha);
  return {b0, (pass == Pass::low ? edge : -edge) / (1 + alpha), b0, -2 * std::cos(w) / (1 + alpha),
          (1 - alpha) / (1 + alpha)};
}

double log_uniform(RandomStream& random, double low, double high) {
  return low * std::pow(high / low, random.uniform());
}

kernels::Equalizer draw_equalizer(const AugmentOptions& options, RandomStream random, int sample_rate) {
  kernels::Equalizer out;
  if (options.gain_db > 0) {
    out.gain = static_cast<float>(std::pow(10, random.uniform(-options.gain_db, options.gain_db) / 20));
  }
  if (options.band_limit_probability > 0 && random.uniform() < options.band_limit_probability) {
    out.filters = true;
    const std::uint64_t kind = random.below(3);
    const double highest = 0.45 * sample_rate;
    if (kind != 1) {
      const double cutoff = kind == 0 ? log_uniform(random, 2000, 7000) : random.uniform(3000, 3800);
      const auto low = butterworth(Pass::low, std::min(cutoff, highest), sample_rate);
      std::copy(low.begin(), low.end(), out.sections.begin());
    }
    if (kind != 0) {
      const double cutoff = kind == 1 ? log_uniform(random, 60, 500) : random.uniform(250, 400);
      const auto high = butterworth(Pass::high, cutoff, sample_rate);
      std::copy(high.begin(), high.end(), out.sections.begin() + 2);
    }
  }
  return out;
}

kernels::MaskRange draw_range(RandomStream& random, int shortest, int longest, std::int64_t extent) {
  const std::int64_t most = std::min<std::int64_t>(longest, extent);
  const std::int64_t least = std::min<std::int64_t>(shortest, most);
  const std::int64_t length =
      least + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most - least + 1)));
  const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(extent - length + 1)));
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(begin + length)};
}

// One side of a cutout: its length is a share of `extent`, its middle anywhere.
kernels::MaskRange draw_side(RandomStream& random, const AugmentOptions& options, std::int64_t extent) {
  const auto least = std::llround(options.cutout_least * static_cast<double>(extent));
  const auto most = std::llround(options.cutout_most * static_cast<double>(extent));
  const std::int64_t length =
      least + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most - least + 1)));
  const std::int64_t begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(extent))) - length / 2;
  return {static_cast<std::int32_t>(std::clamp<std::int64_t>(begin, 0, extent)),
          static_cast<std::int32_t>(std::clamp<std::int64_t>(begin + length, 0, extent))};
}

}  // namespace

// The two pole pairs of the fourth-order filter.
std::array<kernels::FilterSection, 2> butterworth(Pass pass, double cutoff_hz, int sample_rate) {
  check(cutoff_hz > 0 && cutoff_hz < sample_rate / 2.0, "filter: expected a cutoff within 0 to ", sample_rate / 2.0,
        " Hz, got ", cutoff_hz);
  return {section(pass, cutoff_hz, 0.54119610, sample_rate), section(pass, cutoff_hz, 1.30656296, sample_rate)};
}

void augment_waveforms(const AugmentOptions& options, std::uint64_t seed, std::int64_t step,
                       std::span<const std::int64_t> indices, int sample_rate, const Tensor& x) {
  if (options.gain_db <= 0 && options.band_limit_probability <= 0) {
    return;
  }
  std::vector<kernels::Equalizer> rows;
  for (const std::int64_t index : indices) {
    rows.push_back(draw_equalizer(options, stream(kWaveformStream, seed, step, index), sample_rate));
  }
  kernels::equalize({x, rows});
}

void augment_features(const AugmentOptions& options, std::uint64_t seed, std::int64_t step, View view,
                      std::span<const std::int64_t> indices, const Tensor& segments) {
  if (options.time_masks == 0 && options.frequency_masks == 0 && options.cutouts == 0) {
    return;
  }
  std::vector<kernels::MaskRange> bands;
  std::vector<kernels::MaskRange> frames;
  std::vector<kernels::MaskBox> boxes;
  const bool of_anchors = view == View::anchor && !options.mask_batch_alike;
  for (const std::int64_t index : indices) {
    RandomStream random =
        stream(of_anchors ? kAnchorMaskStream : kMaskStream, seed, step, options.mask_batch_alike ? 0 : index);
    for (int i = 0; i < options.frequency_masks; ++i) {
      bands.push_back(
          draw_range(random, options.frequency_mask_least_bands, options.frequency_mask_bands, segments.dim(1)));
    }
    for (int i = 0; i < options.time_masks; ++i) {
      frames.push_back(draw_range(random, 0, options.time_mask_frames, segments.dim(2)));
    }
    for (int i = 0; i < options.cutouts; ++i) {
      const kernels::MaskRange of_bands = draw_side(random, options, segments.dim(1));
      boxes.push_back({of_bands, draw_side(random, options, segments.dim(2))});
    }
  }
  const bool zero = options.mask_fill == AugmentOptions::MaskFill::zero;
  kernels::spec_augment({segments, bands, frames, boxes, zero ? std::optional(0.0F) : std::nullopt});
}

}  // namespace earmark::data
