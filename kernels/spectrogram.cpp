#include "kernels/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/maximum.h"

namespace earmark {

void check_feature_options(const FeatureOptions& o) {
  check(o.sample_rate >= 1000 && o.sample_rate <= 384000, "sample_rate: expected 1000 to 384000, got ", o.sample_rate);
  check(o.n_fft >= 16 && o.n_fft <= 65536 && (o.n_fft & (o.n_fft - 1)) == 0,
        "n_fft: expected a power of two from 16 to 65536, got ", o.n_fft);
  check(o.hop >= 1 && o.hop <= o.n_fft, "hop: expected 1 to n_fft, got ", o.hop);
  check(o.mel_bands >= 1 && o.mel_bands <= o.n_fft / 2, "mel_bands: expected 1 to n_fft / 2, got ", o.mel_bands);
  check(o.f_min >= 0 && o.f_min < o.f_max && o.f_max <= o.sample_rate / 2.0,
        "f_min, f_max: expected 0 <= f_min < f_max <= ", o.sample_rate / 2.0, ", got ", o.f_min, ", ", o.f_max);
  check(o.frames >= 1 && o.frames <= 100000, "frames: expected 1 to 100000, got ", o.frames);
  check(o.hop_frames >= 1, "hop_frames: expected at least 1, got ", o.hop_frames);
  check(o.floor_db < 0, "floor_db: expected below 0, got ", o.floor_db);
  check(o.normalization != FeatureOptions::Normalization::max_relative ||
            o.compression == FeatureOptions::Compression::decibels,
        "normalization, compression: max_relative is for decibels");
}

const FeatureNames<FeatureOptions::Normalization>& normalization_names() {
  using Normalization = FeatureOptions::Normalization;
  static const FeatureNames<Normalization> names = {{"none", Normalization::none},
                                                    {"mean", Normalization::mean},
                                                    {"max_relative", Normalization::max_relative},
                                                    {"batch_maximum", Normalization::batch_maximum}};
  return names;
}

const FeatureNames<FeatureOptions::MelScale>& mel_scale_names() {
  using MelScale = FeatureOptions::MelScale;
  static const FeatureNames<MelScale> names = {{"htk", MelScale::htk}, {"slaney", MelScale::slaney}};
  return names;
}

const FeatureNames<FeatureOptions::Compression>& compression_names() {
  using Compression = FeatureOptions::Compression;
  static const FeatureNames<Compression> names = {{"decibels", Compression::decibels},
                                                  {"log_magnitude", Compression::log_magnitude}};
  return names;
}

std::int64_t frame_count(std::int64_t samples, const FeatureOptions& options) {
  return samples <= 0 ? 0 : std::max<std::int64_t>(1, samples / options.hop);
}

std::int64_t segment_count(std::int64_t frames, const FeatureOptions& options) {
  return frames < options.frames ? 0 : (frames - options.frames) / options.hop_frames + 1;
}

namespace {

/// A mel scale: HTK's, or Slaney's (Auditory Toolbox, 1998).
class Mel {
 public:
  explicit Mel(FeatureOptions::MelScale scale) : slaney_(scale == FeatureOptions::MelScale::slaney) {}
  double from_hz(double hz) const {
    return !slaney_     ? 2595 * std::log10(1 + hz / 700)
           : hz < kKnee ? hz / kLinear
                        : kKnee / kLinear + std::log(hz / kKnee) / kLogarithmic;
  }
  double to_hz(double mel) const {
    return !slaney_                ? 700 * (std::pow(10, mel / 2595) - 1)
           : mel < kKnee / kLinear ? mel * kLinear
                                   : kKnee * std::exp((mel - kKnee / kLinear) * kLogarithmic);
  }

 private:
  static constexpr double kKnee = 1000;                        // Hz, where Slaney's scale turns logarithmic
  static constexpr double kLinear = 200.0 / 3;                 // Hz a mel below
  static constexpr double kLogarithmic = 0.06875177742094912;  // ln(6.4) / 27: natural logarithm of Hz a mel above
  bool slaney_;
};

}  // namespace

std::vector<double> mel_filter_bank(const FeatureOptions& options) {
  check_feature_options(options);
  const int bins = options.n_fft / 2 + 1;
  const Mel mel(options.mel_scale);
  const bool by_area = options.mel_scale == FeatureOptions::MelScale::slaney;
  const double low = mel.from_hz(options.f_min);
  const double step = (mel.from_hz(options.f_max) - low) / (options.mel_bands + 1);
  std::vector<double> bank(static_cast<std::size_t>(options.mel_bands) * static_cast<std::size_t>(bins));
  for (int m = 0; m < options.mel_bands; ++m) {
    const double left = mel.to_hz(low + step * m);
    const double centre = mel.to_hz(low + step * (m + 1));
    const double right = mel.to_hz(low + step * (m + 2));
    const double height = by_area ? 2 / (right - left) : 1;
    for (int k = 0; k < bins; ++k) {
      const double hz = static_cast<double>(k) * options.sample_rate / options.n_fft;
      const double weight = std::min((hz - left) / (centre - left), (right - hz) / (right - centre));
      bank[static_cast<std::size_t>(m) * static_cast<std::size_t>(bins) + static_cast<std::size_t>(k)] =
          height * std::max(0.0, weight);
    }
  }
  return bank;
}

namespace kernels {

SpectrogramWeights::SpectrogramWeights(const FeatureOptions& o)
    : options(o), window(static_cast<std::size_t>(o.n_fft)) {
  for (int i = 0; i < o.n_fft; ++i) {
    window[static_cast<std::size_t>(i)] = static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / o.n_fft));
  }
  const std::vector<double> bank = mel_filter_bank(o);
  const auto bins = static_cast<std::size_t>(o.n_fft / 2 + 1);
  const auto used = [](double w) { return w > 0; };
  begins.push_back(0);
  for (std::size_t m = 0; m < static_cast<std::size_t>(o.mel_bands); ++m) {
    const std::span<const double> row = std::span(bank).subspan(m * bins, bins);
    const auto first = std::find_if(row.begin(), row.end(), used);
    const auto last = std::find_if(row.rbegin(), row.rend(), used).base();
    first_bins.push_back(first < last ? static_cast<std::int32_t>(first - row.begin()) : 0);
    weights.insert(weights.end(), first < last ? first : last, last);
    begins.push_back(static_cast<std::int32_t>(weights.size()));
  }
}

void log_mel(const FeatureOptions& options, const LogMel& args) {
  check_feature_options(options);
  check(args.pcm && args.pcm.shape().rank() == 2 && args.pcm.dim(1) >= 1,
        "log_mel: expected pcm (N, samples >= 1), got ", args.pcm.shape());
  check(args.out && args.out.shape() == Shape({args.pcm.dim(0), args.out.dim(1), options.mel_bands}),
        "log_mel: expected out (", args.pcm.dim(0), ", frames, ", options.mel_bands, "), got ", args.out.shape());
  check(args.out.device() == args.pcm.device(), "log_mel: pcm on ", args.pcm.device(), ", out on ", args.out.device());
  run_on<cpu::log_mel, cuda::log_mel>(args.pcm.device(), options, args);
}

void cut_segments(const FeatureOptions& options, const CutSegments& args) {
  check(args.log_mel && args.log_mel.shape().rank() == 2 && args.log_mel.dim(1) == options.mel_bands,
        "cut_segments: expected log_mel (frames, ", options.mel_bands, "), got ", args.log_mel.shape());
  const std::int64_t count = args.out.shape().rank() == 0 ? 0 : args.out.dim(0);
  check(args.out && args.out.shape() == Shape({count, options.mel_bands, options.frames, 1}),
        "cut_segments: expected out (N, ", options.mel_bands, ", ", options.frames, ", 1), got ", args.out.shape());
  check(args.out.device() == args.log_mel.device(), "cut_segments: log_mel on ", args.log_mel.device(), ", out on ",
        args.out.device());
  check(options.normalization != FeatureOptions::Normalization::batch_maximum ||
            (args.maximum && args.maximum.numel() == 1 && args.maximum.device() == args.out.device()),
        "cut_segments: batch_maximum needs the maximum, (1), beside out");
  const auto check_inside = [&](std::int64_t first, std::int64_t end) {
    check(first >= 0 && end <= args.log_mel.dim(0), "cut_segments: frames ", first, " to ", end, " of ",
          args.log_mel.dim(0));
  };
  if (!args.first_frames.empty()) {
    check(static_cast<std::int64_t>(args.first_frames.size()) == count, "cut_segments: ", args.first_frames.size(),
          " first frames of ", count, " segments");
    for (const std::int64_t first : args.first_frames) {
      check_inside(first, first + options.frames);
    }
  } else if (count > 0) {
    check_inside(args.first_frame, args.first_frame + (count - 1) * args.hop_frames + options.frames);
  } else {
    check_inside(args.first_frame, 0);
  }
  run_on<cpu::cut_segments, cuda::cut_segments>(args.log_mel.device(), options, args);
}

}  // namespace kernels

Tensor log_mel(std::span<const float> pcm, const FeatureOptions& options, Device device) {
  check(!pcm.empty(), "log_mel: no samples");
  const auto samples = static_cast<std::int64_t>(pcm.size());
  const Tensor out({1, frame_count(samples, options), options.mel_bands}, DType::f32, device);
  // The kernel only reads: viewing constant memory as a tensor is safe.
  const Tensor view({1, samples}, DType::f32, const_cast<float*>(pcm.data()), nullptr);  // NOLINT
  kernels::log_mel(options, {view.to(device), out});
  return out.reshape({out.dim(1), out.dim(2)});
}

Tensor segments_of(const Tensor& log_mel, const FeatureOptions& options, std::int64_t first, std::int64_t count,
                   int hop_frames) {
  const int hop = hop_frames > 0 ? hop_frames : options.hop_frames;
  const Tensor out({count, options.mel_bands, options.frames, 1}, DType::f32, log_mel.device());
  kernels::CutSegments args{log_mel, out, first * hop, hop};
  if (options.normalization == FeatureOptions::Normalization::batch_maximum) {
    args.maximum = Tensor({1}, DType::f32, log_mel.device());
    kernels::maximum({log_mel, args.maximum});
  }
  kernels::cut_segments(options, args);
  return out;
}

}  // namespace earmark
