// From a waveform to its fingerprints: the log-mel spectrogram once, a segment every hop, embedded in batches.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"
#include "nn/model.h"

namespace earmark::nn {

class Fingerprinter {
 public:
  explicit Fingerprinter(Model model);

  const Model& model() const { return model_; }
  /// Fingerprints of a waveform at the model's sample rate: (n, D) f32, unit rows, one segment every `hop_frames`
  /// frames (0: the model's hop). n = (frames - segment) / hop + 1; a waveform shorter than one segment is zero-padded
  /// to one. Empty input, NaN or infinity throw Error. Safe to call from several threads.
  Tensor fingerprints(std::span<const float> pcm, int hop_frames = 0) const;
  /// How many fingerprints a waveform of `samples` gives.
  std::int64_t count(std::int64_t samples, int hop_frames = 0) const;
  /// Seconds between two fingerprints.
  double hop_seconds(int hop_frames = 0) const;
  /// Seconds covered by one fingerprint.
  double segment_seconds() const;

 private:
  Model model_;
};

}  // namespace earmark::nn
