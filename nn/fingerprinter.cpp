#include "nn/fingerprinter.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/error.h"

namespace earmark::nn {

namespace {

/// Segments cut and embedded at a time: bounds memory (1,024 segments are 25 MB) and keeps every thread busy.
constexpr std::int64_t kBatch = 1024;

}  // namespace

Fingerprinter::Fingerprinter(Model model) : model_(std::move(model)) {
  check(model_.encoder != nullptr, "a fingerprinter needs a model with an encoder");
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

Tensor Fingerprinter::fingerprints(std::span<const float> pcm, int hop_frames) const {
  check(!pcm.empty(), "fingerprints: the waveform is empty");
  check(hop_frames >= 0, "fingerprints: a hop of ", hop_frames, " frames");
  check(std::all_of(pcm.begin(), pcm.end(), [](float x) { return std::isfinite(x); }),
        "fingerprints: the waveform has samples that are not finite");
  const FeatureOptions& features = model_.features;
  std::vector<float> padded;
  if (static_cast<std::int64_t>(pcm.size()) < features.segment_samples()) {
    padded.assign(pcm.begin(), pcm.end());
    padded.resize(static_cast<std::size_t>(features.segment_samples()), 0.0F);
    pcm = padded;
  }
  const Tensor spectrogram = log_mel(pcm, features);
  const std::int64_t n = count(static_cast<std::int64_t>(pcm.size()), hop_frames);
  const Tensor out({n, model_.options.embedding});
  for (std::int64_t begin = 0; begin < n; begin += kBatch) {
    const std::int64_t end = std::min(n, begin + kBatch);
    out.slice(begin, end)
        .copy_from(model_.encoder->embed(segments_of(spectrogram, features, begin, end - begin, hop_frames)));
  }
  return out;
}

}  // namespace earmark::nn
