// From a waveform to its fingerprints: the log-mel spectrogram once, a segment every hop, embedded in batches.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <span>

#include "kernels/tensor.h"
#include "nn/model.h"

namespace earmark::nn {

class Fingerprinter {
 public:
  /// Computes on `device`, to which the model's encoder moves.
  explicit Fingerprinter(Model model, Device device = {});

  const Model& model() const { return model_; }
  Device device() const { return model_.encoder->device(); }
  /// Fingerprints of a waveform at the model's sample rate: (n, D) f32, unit rows, one segment every `hop_frames`
  /// frames (0: the model's hop). n = (frames - segment) / hop + 1; a waveform shorter than one segment is zero-padded
  /// to one. The result is in the host's memory. Empty input, NaN or infinity throw Error. Safe to call from several
  /// threads.
  Tensor fingerprints(std::span<const float> pcm, int hop_frames = 0) const;
  /// Those of several waveforms, one behind another: the encoder sees whole batches, however short each is.
  Tensor fingerprints_of_all(std::span<const std::span<const float>> waveforms, int hop_frames = 0) const;
  /// What the fingerprints of a stream depend on beyond the piece at hand.
  struct Stream {
    /// Under batch_maximum: the largest value of the spectrogram so far.
    float loudest = -std::numeric_limits<float>::infinity();
  };
  /// Fingerprints [first, first + count) of a piece of a stream, which begins where fingerprints do. Every segment of
  /// the stream must come by once, in order: batch_maximum looks back at all of them.
  Tensor fingerprints_of_stream(std::span<const float> pcm, int hop_frames, std::int64_t first, std::int64_t count,
                                Stream& stream) const;
  /// How many fingerprints a waveform of `samples` gives.
  std::int64_t count(std::int64_t samples, int hop_frames = 0) const;
  /// Seconds between two fingerprints.
  double hop_seconds(int hop_frames = 0) const;
  /// Seconds covered by one fingerprint.
  double segment_seconds() const;

 private:
  Tensor spectrogram(std::span<const float> pcm) const;

  Model model_;
  /// On a GPU one thread at a time embeds: side by side they would need the memory of all, and gain nothing.
  std::shared_ptr<std::mutex> turn_ = std::make_shared<std::mutex>();
};

}  // namespace earmark::nn
