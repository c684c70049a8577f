// Log-mel spectrograms: what the encoder sees.
//   frame k: n_fft samples around sample k·hop, periodic Hann window, |DFT|² or |DFT|, edges reflected
//   mel: triangles on the HTK scale, mel(f) = 2595·log10(1 + f/700), not normalised by area; or on Slaney's (linear up
//        to 1 kHz, then logarithmic), each of area 1 over Hz, as librosa has them
//   log: decibels, 10·log10(max(mel of the power, 1e-10)); or log10(mel of the magnitude + 0.06) (Chang et al., ICASSP
//        2021, and their code)
// Segments of `frames` frames are cut from it, normalised and laid out for the network, (N, F, T, 1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/tensor.h"

namespace earmark {

/// How sound becomes input of the encoder. Travels with every model.
struct FeatureOptions {
  /// What is done to a segment's values: nothing (the paper); its mean subtracted; dB below its maximum, floored at
  /// `floor_db` and scaled to -1..1; the maximum of all that is looked at together subtracted (Chang et al.): in
  /// training the views of a batch, anchors and positives; of a recording its whole spectrogram, so that neither the
  /// number of threads nor how many segments are embedded at once changes a fingerprint; of a stream what has been
  /// heard from its beginning to the segment's end, however it comes.
  enum class Normalization { none, mean, max_relative, batch_maximum };
  enum class MelScale { htk, slaney };
  /// How mel bands become numbers that the encoder sees.
  enum class Compression { decibels, log_magnitude };

  int sample_rate = 16000;
  int n_fft = 512;      ///< Window and transform, samples.
  int hop = 160;        ///< Samples between frames.
  int mel_bands = 64;   ///< F
  double f_min = 0;     ///< Hz
  double f_max = 8000;  ///< Hz
  int frames = 96;      ///< T, frames in a segment.
  int hop_frames = 10;  ///< Frames between fingerprints.
  Normalization normalization = Normalization::none;
  double floor_db = -60;
  MelScale mel_scale = MelScale::htk;
  Compression compression = Compression::decibels;

  std::int64_t segment_samples() const { return std::int64_t{frames} * hop; }
  double segment_seconds() const { return static_cast<double>(segment_samples()) / sample_rate; }
  double hop_seconds() const { return static_cast<double>(hop_frames) * hop / sample_rate; }
  bool operator==(const FeatureOptions&) const = default;
};

/// Throws Error, naming the option, unless the options make sense.
void check_feature_options(const FeatureOptions& options);
/// The names that configurations and model files have for choices.
template <class E>
using FeatureNames = std::vector<std::pair<std::string, E>>;
const FeatureNames<FeatureOptions::Normalization>& normalization_names();  ///< "none", "mean", "max_relative", ...
const FeatureNames<FeatureOptions::MelScale>& mel_scale_names();           ///< "htk", "slaney"
const FeatureNames<FeatureOptions::Compression>& compression_names();      ///< "decibels", "log_magnitude"

/// Frames of a waveform: one every `hop` samples from sample 0 on, as long as hops are complete: max(1, samples / hop).
/// (Centring gives one more, half of it reflected; it is left out, so that 0.96 s make exactly 96 frames.)
std::int64_t frame_count(std::int64_t samples, const FeatureOptions& options);
/// Segments `hop_frames` apart in so many frames: (frames - T) / hop_frames + 1, or 0 when there are fewer than T.
std::int64_t segment_count(std::int64_t frames, const FeatureOptions& options);
/// The whole mel filter bank, (mel_bands × n_fft/2 + 1), row-major, in double.
std::vector<double> mel_filter_bank(const FeatureOptions& options);

namespace kernels {

inline constexpr float kMagnitudeOffset = 0.06F;  ///< Of log_magnitude.

/// What all frames are multiplied with, in float: the window, and the filter bank without its zeros.
struct SpectrogramWeights {
  explicit SpectrogramWeights(const FeatureOptions& options);

  FeatureOptions options;
  std::vector<float> window;             ///< (n_fft), periodic Hann
  std::vector<std::int32_t> first_bins;  ///< (mel_bands), where filters begin
  std::vector<std::int32_t> begins;      ///< (mel_bands + 1): filter m has weights [begins[m], begins[m + 1])
  std::vector<float> weights;
};

struct LogMel {
  Tensor pcm;                     ///< (N, samples) f32
  Tensor out;                     ///< (N, frames, mel_bands) f32; frame k is centred on first_centre + k·hop
  std::int64_t first_centre = 0;  ///< Samples beyond either end are reflections (a, b, c | b, a).
};
void log_mel(const FeatureOptions& options, const LogMel& args);

struct CutSegments {
  Tensor log_mel;  ///< (frames, mel_bands) f32
  Tensor out;      ///< (N, F, T, 1) f32: segment i starts at frame first_frame + i·hop_frames
  std::int64_t first_frame = 0;
  std::int64_t hop_frames = 10;
  /// Where given, the first frame of each segment, anywhere; the two above are not used then.
  std::span<const std::int64_t> first_frames{};
  Tensor maximum{};  ///< (1) f32, what batch_maximum subtracts (maximum.h finds it); not used otherwise
};
/// Copies, normalises and transposes. Throws Error when a segment does not lie inside.
void cut_segments(const FeatureOptions& options, const CutSegments& args);

namespace cpu {
void log_mel(const FeatureOptions& options, const LogMel& args);
void cut_segments(const FeatureOptions& options, const CutSegments& args);
}  // namespace cpu
namespace cuda {
void log_mel(const FeatureOptions& options, const LogMel& args);
void cut_segments(const FeatureOptions& options, const CutSegments& args);
}  // namespace cuda
}  // namespace kernels

/// The whole waveform's log-mel spectrogram, (frame_count, mel_bands) f32, computed on `device`. Throws Error when
/// `pcm` is empty.
Tensor log_mel(std::span<const float> pcm, const FeatureOptions& options, Device device = {});
/// Segments [first, first + count) of a spectrogram, `hop_frames` apart (0: the options'), normalised: (count, F, T,
/// 1), on the spectrogram's device. batch_maximum: relative to the maximum of the whole spectrogram.
Tensor segments_of(const Tensor& log_mel, const FeatureOptions& options, std::int64_t first, std::int64_t count,
                   int hop_frames = 0);

}  // namespace earmark
