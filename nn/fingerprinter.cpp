#include "nn/fingerprinter.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/life_signs.h"
#include "kernels/maximum.h"
#include "kernels/trace.h"

namespace earmark::nn {

namespace {

/// Segments cut and embedded at a time: bounds memory (1,024 segments are 25 MB) and keeps every thread busy. A GPU
/// holds the activations of all of them at once.
constexpr std::int64_t kBatch = 1024;
constexpr std::int64_t kGpuBatch = 256;

/// Collects segments of one waveform after the other and embeds them whenever a batch is full.
class Embedding {
 public:
  /// Of `count` segments in all.
  Embedding(const Model& model, std::int64_t count, std::mutex& turn)
      : model_(model),
        turn_(turn),
        device_(model.encoder->device()),
        batch_(device_.backend == Backend::cpu ? kBatch : kGpuBatch),
        out_({count, model.options.embedding}) {}

  /// Segments [begin, end) of a spectrogram; `maximum` is what batch_maximum subtracts.
  void add(const Tensor& log_mel, std::int64_t begin, std::int64_t end, int hop_frames, const Tensor& maximum) {
    const FeatureOptions& features = model_.features;
    while (begin < end) {
      if (filled_ == 0) {
        const std::int64_t size = std::min(batch_, out_.dim(0) - done_);
        segments_ = Tensor({size, features.mel_bands, features.frames, 1}, DType::f32, device_);
      }
      const std::int64_t taken = std::min(end - begin, segments_.dim(0) - filled_);
      kernels::cut_segments(features, {.log_mel = log_mel,
                                       .out = segments_.slice(filled_, filled_ + taken),
                                       .first_frame = begin * hop_frames,
                                       .hop_frames = hop_frames,
                                       .maximum = maximum});
      begin += taken;
      filled_ += taken;
      if (filled_ == segments_.dim(0)) {
        const TraceRange range("embed");
        show_life();
        std::unique_lock turn(turn_, std::defer_lock);
        if (device_.backend != Backend::cpu) {
          turn.lock();
        }
        out_.slice(done_, done_ + filled_).copy_from(model_.encoder->embed(segments_));
        done_ += std::exchange(filled_, 0);
      }
    }
  }
  const Tensor& fingerprints() const { return out_; }

 private:
  const Model& model_;
  std::mutex& turn_;
  Device device_;
  std::int64_t batch_;
  Tensor out_;       // in the host's memory
  Tensor segments_;  // the present batch
  std::int64_t filled_ = 0;
  std::int64_t done_ = 0;
};

bool is_relative(const FeatureOptions& features) {
  return features.normalization == FeatureOptions::Normalization::batch_maximum;
}

Tensor largest_of(const Tensor& log_mel) {
  const Tensor out({1}, DType::f32, log_mel.device());
  kernels::maximum({log_mel, out});
  return out;
}

}  // namespace

Fingerprinter::Fingerprinter(Model model, Device device) : model_(std::move(model)) {
  check(model_.encoder != nullptr, "a fingerprinter needs a model with an encoder");
  if (model_.encoder->device() != device) {
    model_.encoder->to(device);
  }
}

double Fingerprinter::hop_seconds(int hop_frames) const {
  const FeatureOptions& features = model_.features;
  const int frames = hop_frames > 0 ? hop_frames : features.hop_frames;
  return static_cast<double>(frames) * features.hop / features.sample_rate;
}

double Fingerprinter::segment_seconds() const { return model_.features.segment_seconds(); }

std::int64_t Fingerprinter::count(std::int64_t samples, int hop_frames) const {
  FeatureOptions features = model_.features;
  features.hop_frames = hop_frames > 0 ? hop_frames : features.hop_frames;
  const std::int64_t padded = std::max(samples, features.segment_samples());
  return segment_count(frame_count(padded, features), features);
}

Tensor Fingerprinter::spectrogram(std::span<const float> pcm) const {
  const TraceRange range("spectrogram");
  check(!pcm.empty(), "fingerprints: the waveform is empty");
  check(std::all_of(pcm.begin(), pcm.end(), [](float x) { return std::isfinite(x); }),
        "fingerprints: the waveform has samples that are not finite");
  std::vector<float> padded;
  if (static_cast<std::int64_t>(pcm.size()) < model_.features.segment_samples()) {
    padded.assign(pcm.begin(), pcm.end());
    padded.resize(static_cast<std::size_t>(model_.features.segment_samples()), 0.0F);
    pcm = padded;
  }
  return log_mel(pcm, model_.features, model_.encoder->device());
}

Tensor Fingerprinter::fingerprints(std::span<const float> pcm, int hop_frames) const {
  return fingerprints_of_all(std::span<const std::span<const float>>(&pcm, 1), hop_frames);
}

Tensor Fingerprinter::fingerprints_of_all(std::span<const std::span<const float>> waveforms, int hop_frames) const {
  const TraceRange range("fingerprint");
  check(hop_frames >= 0, "fingerprints: a hop of ", hop_frames, " frames");
  const auto count_of = [&](std::span<const float> pcm) {
    return count(static_cast<std::int64_t>(pcm.size()), hop_frames);
  };
  std::int64_t all = 0;
  for (const std::span<const float> pcm : waveforms) {
    all += count_of(pcm);
  }
  Embedding embedding(model_, all, *turn_);
  for (const std::span<const float> pcm : waveforms) {
    const Tensor log_mel = spectrogram(pcm);
    const Tensor maximum = is_relative(model_.features) ? largest_of(log_mel) : Tensor();
    embedding.add(log_mel, 0, count_of(pcm), hop_frames > 0 ? hop_frames : model_.features.hop_frames, maximum);
  }
  return embedding.fingerprints();
}

Tensor Fingerprinter::fingerprints_of_stream(std::span<const float> pcm, int hop_frames, std::int64_t first,
                                             std::int64_t count, Stream& stream) const {
  const TraceRange range("fingerprint");
  const FeatureOptions& features = model_.features;
  const int hop = hop_frames > 0 ? hop_frames : features.hop_frames;
  const Tensor log_mel = spectrogram(pcm);
  const std::int64_t all = this->count(static_cast<std::int64_t>(pcm.size()), hop);
  check(first >= 0 && count >= 0 && first + count <= all, "fingerprints: ", count, " from number ", first, " on, of ",
        all, " in the piece");
  Embedding embedding(model_, count, *turn_);
  if (!is_relative(features)) {
    embedding.add(log_mel, first, first + count, hop, {});
    return embedding.fingerprints();
  }
  for (std::int64_t i = first; i < first + count; ++i) {
    const Tensor heard = log_mel.slice(i * hop, i * hop + features.frames);
    stream.loudest = std::max(stream.loudest, static_cast<float>(largest_of(heard).item()));
    embedding.add(log_mel, i, i + 1, hop, Tensor::full({1}, stream.loudest, DType::f32, log_mel.device()));
  }
  return embedding.fingerprints();
}

}  // namespace earmark::nn
