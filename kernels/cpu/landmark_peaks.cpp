#include "kernels/landmark_peaks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>

#include "kernels/cpu/lanes.h"
#include "kernels/error.h"

namespace earmark::kernels {
namespace {

using Options = LandmarkPeakOptions;
using Lane = cpu::Vec<double>;
using Flags = cpu::Vec<std::int64_t>;

constexpr int kLaneCount = cpu::kLanes<double>;
constexpr int kBins = Options::kBins;
constexpr double kPole = 0.98;    // of the high-pass along time
constexpr double kFloor = 1e6;    // magnitudes below the largest over this are raised to it
constexpr int kFirstFrames = 10;  // the first mask is that of their maxima
constexpr double kNothing = -std::numeric_limits<double>::infinity();

/// A frame's values with nothing on either side, so that every bin has neighbours.
class Frame {
 public:
  Frame() {
    values_.fill(0);
    values_[kPadding - 1] = kNothing;
    values_[kPadding + kBins] = kNothing;
  }
  double* bins() { return values_.data() + kPadding; }
  const double* bins() const { return values_.data() + kPadding; }

 private:
  static constexpr std::size_t kPadding = 8;
  alignas(64) std::array<double, kBins + 2 * kPadding> values_{};
};

/// No bin before a local maximum is higher, and the one behind it is lower: the last of equal neighbours.
Flags is_maximum(const double* bins, int i) {
  const Lane here = cpu::load(bins + i);
  return (here >= cpu::load(bins + i - 1)) & (cpu::load(bins + i + 1) < here);
}

/// What a peak must exceed, per bin.
class Mask {
 public:
  Mask(double spread_bins, double decay) : decay_(decay) {
    for (int i = -kBins; i <= kBins; ++i) {
      const double distance = static_cast<double>(i) / spread_bins;
      bump_[static_cast<std::size_t>(i + kBins)] = std::exp(-0.5 * (distance * distance));
    }
    bins_.fill(0);
  }
  const double* bins() const { return bins_.data(); }
  /// The local maxima of a frame, each spread.
  void begin(const Frame& frame) {
    bins_.fill(0);
    for (int i = 0; i < kBins; ++i) {
      const double* here = frame.bins() + i;
      if (here[0] >= here[-1] && here[1] < here[0]) {
        raise(i, here[0]);
      }
    }
  }
  /// Raises the mask to a Gaussian of this height around a bin.
  void raise(int bin, double height) {
    const double* bump = bump_.data() + kBins - bin;
    for (int i = 0; i < kBins; i += kLaneCount) {
      const Lane wanted = height * cpu::load(bump + i);
      const Lane present = cpu::load(bins_.data() + i);
      cpu::store(bins_.data() + i, wanted > present ? wanted : present);
    }
  }
  void decay() {
    for (int i = 0; i < kBins; i += kLaneCount) {
      cpu::store(bins_.data() + i, decay_ * cpu::load(bins_.data() + i));
    }
  }

 private:
  double decay_;
  alignas(64) std::array<double, kBins> bins_{};
  std::array<double, 2 * kBins + 1> bump_{};
};

struct Candidate {
  double height = 0;
  std::int32_t bin = 0;
  bool kept = true;
};

/// Higher first; of equals the higher bin.
bool comes_before(const Candidate& a, const Candidate& b) {
  return a.height != b.height ? a.height > b.height : a.bin > b.bin;
}

/// The mean of what is raised to the floor: only rows that reach below it need another look.
double mean_above(const cpu::LandmarkLogs& logs, double floor) {
  const std::span<const double> values = logs.rows.values<double>();
  double sum = 0;
  for (std::size_t t = 0; t < logs.sums.size(); ++t) {
    if (logs.lowest[t] >= floor) {
      sum += logs.sums[t];
    } else {
      for (const double value : values.subspan(t * cpu::LandmarkLogs::kStride, cpu::LandmarkLogs::kRow)) {
        sum += std::max(value, floor);
      }
    }
  }
  return sum / static_cast<double>(logs.sums.size() * cpu::LandmarkLogs::kRow);
}

/// The spectrogram with its floor, without its mean, through the high-pass: frame by frame.
class Onsets {
 public:
  explicit Onsets(const cpu::LandmarkLogs& logs)
      : logs_(logs.rows.data<double>()),
        last_(logs_ + std::max<std::int64_t>(0, std::ssize(logs.sums) - 1) * cpu::LandmarkLogs::kStride),
        silent_(logs.largest == kNothing),
        floor_(logs.largest - std::log(kFloor)),
        mean_(silent_ ? 0 : mean_above(logs, floor_)) {
    delayed_.fill(0);
  }
  bool silent() const { return silent_; }
  /// The next frame. y[t] = x[t] + z[t-1], z[t] = 0.98 y[t] - x[t], with z before the first frame 0.
  void next(Frame& frame) {
    const double* log = logs_;
    logs_ += cpu::LandmarkLogs::kStride;
    // Rows come from far away, and every second one lies on another page, at which the processor's own foresight ends.
    const double* soon = std::min(log + kRowsAhead * cpu::LandmarkLogs::kStride, last_);
    for (int i = 0; i < kBins; i += kLaneCount) {
      __builtin_prefetch(soon + i);
      const Lane raw = cpu::load(log + i);
      const Lane x = (raw > floor_ ? raw : cpu::broadcast(floor_)) - mean_;
      const Lane y = x + cpu::load(delayed_.data() + i);
      cpu::store(frame.bins() + i, y);
      cpu::store(delayed_.data() + i, kPole * y - x);
    }
  }

 private:
  static constexpr std::int64_t kRowsAhead = 8;

  const double* logs_;
  const double* last_;  // row
  bool silent_;
  double floor_;
  double mean_;
  alignas(64) std::array<double, kBins> delayed_{};
};

/// The highest of each bin over the first frames.
Frame first_maxima(Onsets onsets, std::int64_t frames) {
  Frame maxima;
  Frame frame;
  std::fill_n(maxima.bins(), kBins, kNothing);
  for (std::int64_t t = 0; t < std::min<std::int64_t>(kFirstFrames, frames); ++t) {
    onsets.next(frame);
    std::transform(frame.bins(), frame.bins() + kBins, maxima.bins(), maxima.bins(),
                   [](double a, double b) { return std::max(a, b); });
  }
  return maxima;
}

/// Local maxima above the mask, the highest first. Vectors are looked at by the sixty-four, one bit each.
void find_candidates(const Frame& frame, const Mask& mask, int most, std::vector<Candidate>& found) {
  constexpr int kVectors = std::min(64, kBins / kLaneCount);
  found.clear();
  for (int begin = 0; begin < kBins; begin += kVectors * kLaneCount) {
    Flags bits{};
    Flags bit = Flags{} + 1;
    for (int i = begin; i < begin + kVectors * kLaneCount; i += kLaneCount) {
      const Flags stands_out = cpu::load(frame.bins() + i) > cpu::load(mask.bins() + i);
      bits |= is_maximum(frame.bins(), i) & stands_out & bit;
      bit += bit;
    }
    for (int lane = 0; lane < kLaneCount; ++lane) {
      for (auto left = static_cast<std::uint64_t>(bits[lane]); left != 0; left &= left - 1) {
        const std::int32_t bin = begin + std::countr_zero(left) * kLaneCount + lane;
        found.push_back({frame.bins()[bin], bin, true});
      }
    }
  }
  const auto kept = std::min(found.size(), static_cast<std::size_t>(most));
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(), comes_before);
  found.resize(kept);
}

/// Peaks of all frames; those of frame t are [begins[t], begins[t + 1]), the highest first.
struct Peaks {
  std::vector<Candidate> peaks;
  std::vector<std::size_t> begins;
  Frame last;
};

Peaks forward_pass(Onsets& onsets, std::int64_t frames, Mask mask, int most) {
  Peaks out;
  std::vector<Candidate> found;
  mask.begin(first_maxima(onsets, frames));
  for (std::int64_t t = 0; t < frames; ++t) {
    onsets.next(out.last);
    find_candidates(out.last, mask, most, found);
    out.begins.push_back(out.peaks.size());
    for (const Candidate& candidate : found) {
      mask.raise(candidate.bin, candidate.height);
      out.peaks.push_back(candidate);
    }
    mask.decay();
  }
  out.begins.push_back(out.peaks.size());
  return out;
}

/// From the end: drops peaks that a later one masks, and of two in one bin in a row the later.
void backward_pass(Peaks& all, std::int64_t frames, Mask mask) {
  mask.begin(all.last);
  for (std::int64_t t = frames - 1; t >= 0; --t) {
    const std::size_t begin = all.begins[static_cast<std::size_t>(t)];
    const std::size_t end = all.begins[static_cast<std::size_t>(t) + 1];
    const std::size_t next_end = t + 1 < frames ? all.begins[static_cast<std::size_t>(t) + 2] : end;
    for (std::size_t i = begin; i < end; ++i) {
      Candidate& peak = all.peaks[i];
      peak.kept = peak.height >= mask.bins()[peak.bin];
      if (!peak.kept) {
        continue;
      }
      mask.raise(peak.bin, peak.height);
      for (std::size_t j = end; j < next_end; ++j) {
        all.peaks[j].kept = all.peaks[j].kept && all.peaks[j].bin != peak.bin;
      }
    }
    mask.decay();
  }
}

}  // namespace

double LandmarkPeakOptions::decay() const {
  check(density > 0, "density: expected more than 0, got ", density);
  check(spread_bins > 0, "spread: expected more than 0 bins, got ", spread_bins);
  check(peaks_per_frame >= 1 && peaks_per_frame <= kBins, "peaks per frame: expected 1 to ", kBins, ", got ",
        peaks_per_frame);
  const double decay = 1 - 0.01 * (density * std::sqrt(kHop / 352.8) / 35);
  check(decay > 0, "density: ", density, " leaves nothing of a mask");
  return decay;
}

std::int64_t landmark_frames(std::int64_t samples) { return samples == 0 ? 0 : 1 + samples / Options::kHop; }

std::vector<LandmarkPeak> landmark_peaks(std::span<const float> pcm, const LandmarkPeakOptions& options) {
  const Mask mask(options.spread_bins, options.decay());
  const cpu::LandmarkLogs logs = cpu::landmark_log_magnitudes(pcm, options.in_16_bits);
  Onsets onsets(logs);
  std::vector<LandmarkPeak> out;
  if (onsets.silent()) {
    return out;
  }
  const std::int64_t frames = landmark_frames(static_cast<std::int64_t>(pcm.size()));
  Peaks found = forward_pass(onsets, frames, mask, options.peaks_per_frame);
  backward_pass(found, frames, mask);
  for (std::int64_t t = 0; t < frames; ++t) {
    const std::size_t first = out.size();
    for (std::size_t i = found.begins[static_cast<std::size_t>(t)]; i < found.begins[static_cast<std::size_t>(t) + 1];
         ++i) {
      if (found.peaks[i].kept) {
        out.push_back({static_cast<std::int32_t>(t), found.peaks[i].bin});
      }
    }
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(),
              [](const LandmarkPeak& a, const LandmarkPeak& b) { return a.bin < b.bin; });
  }
  return out;
}

}  // namespace earmark::kernels
