// The constellation of a recording: peaks of its spectrogram that stand out in time and frequency. After audfprint
// (D. Ellis, "Robust Landmark-Based Audio Fingerprinting", 2009; the constants are its own), itself after A. Wang, "An
// Industrial-Strength Audio Search Algorithm" (ISMIR 2003). With |X| the magnitudes of 512-point transforms, hop 256:
//   L[t] = max(log |X[t]|, max log |X| - log 1e6) - mean;   y[t] = L[t] - L[t-1] + 0.98 y[t-1]   (per bin: onsets)
//   forward: a local maximum of y[t] above the mask is a peak (the highest few), and raises the mask around itself to a
//   Gaussian of its height; the mask decays from frame to frame. Backward: the same over the peaks found.
// In double on the CPU throughout, so that what is compared falls as in the original. Per frame 257 logarithms, 20,000
// operations of transform and masks, and 2 KB of spectrogram written and read twice: it is kept until its maximum is
// known, 5.3 MB for a minute of sound.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace earmark::kernels {

struct LandmarkPeakOptions {
  static constexpr int kSampleRate = 11025;
  static constexpr int kTransform = 512;
  static constexpr int kHop = 256;   ///< Samples between frames: 23.2 ms.
  static constexpr int kBins = 256;  ///< Without the one at half the sample rate, so that a bin is 8 bits.

  double density = 20;      ///< The higher, the faster the mask decays: roughly peaks per second.
  double spread_bins = 30;  ///< Standard deviation of the Gaussians.
  int peaks_per_frame = 5;  ///< At most.
  bool in_16_bits = false;  ///< Samples (1: full scale) are rounded to 16 bits first.

  /// The mask's decay from frame to frame. Throws Error where options are out of range.
  double decay() const;
};

struct LandmarkPeak {
  std::int32_t frame = 0;  ///< Its middle is sample frame * kHop.
  std::int32_t bin = 0;
  friend bool operator==(const LandmarkPeak&, const LandmarkPeak&) = default;
};

/// Frames of a recording of so many samples: one per hop, centred with reflected ends.
std::int64_t landmark_frames(std::int64_t samples);

/// Peaks of mono samples at kSampleRate, by frame, then bin. None in silence and where there are no samples.
std::vector<LandmarkPeak> landmark_peaks(std::span<const float> pcm, const LandmarkPeakOptions& options);

namespace cpu {
/// What the formulas above begin with.
struct LandmarkLogs {
  static constexpr std::int64_t kRow = LandmarkPeakOptions::kBins + 1;  ///< Of each row, in use.
  static constexpr std::int64_t kStride = 264;  ///< Of rows, which begin with a cache line each.

  Tensor rows;  ///< log |X|, (frames, kStride) f64, kRow of each row in use, -infinity where X is 0.
  double largest = -std::numeric_limits<double>::infinity();  ///< Of all of them.
  std::vector<double> sums;                                   ///< Of each row.
  std::vector<double> lowest;                                 ///< Of each row.
};
LandmarkLogs landmark_log_magnitudes(std::span<const float> pcm, bool in_16_bits = false);
}  // namespace cpu
}  // namespace earmark::kernels
