// An encoder maps log-mel segments to fingerprints. Training goes through forward(), which records a graph; inference
// through embed(), which prepares weights once (it folds batch normalisation into the convolutions) and records
// nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/variable.h"
#include "nn/encoder_options.h"

namespace earmark::nn {

/// A trained quantity. The name is stable and readable: "block3.attention2.spectral.weight".
struct NamedParameter {
  std::string name;
  Variable variable;
  std::int64_t layers = 1;  ///< Equal slices of the leading axis, each a layer to an optimiser that goes by layers.
};

/// State that is not trained by gradient: "block3.norm1.running_mean".
struct NamedBuffer {
  std::string name;
  Tensor tensor;
};

/// What one attention module made of a batch: an element is let through times spectral · temporal · scale.
struct AttentionMaps {
  std::string module;  ///< "block3.attention2"
  Tensor spectral;     ///< (N, F, C), sums to 1 over F.
  Tensor temporal;     ///< (N, T, C), sums to 1 over T.
  double scale = 1;
};

class Encoder {
 public:
  virtual ~Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  const EncoderOptions& options() const { return options_; }
  /// Log-mel segments (N, F, T, 1) to unit rows (N, D), recorded. In training mode batch normalisation uses the batch's
  /// statistics and updates the running ones. Throws Error on another shape, element type or device.
  virtual Variable forward(const Variable& x) = 0;
  /// Inference: (N, F, T, 1) to unit rows (N, D) with the running statistics, whatever the mode. Nothing is recorded.
  /// Safe to call from several threads while nobody trains. Throws Error on another shape, element type or device.
  virtual Tensor embed(const Tensor& x) const = 0;
  /// What attention does to the segments (N, F, T, 1) on their way through embed(), module by module, on their device;
  /// empty for an encoder without attention. Throws Error as embed() does.
  virtual std::vector<AttentionMaps> attention_maps(const Tensor& /*x*/) const { return {}; }

  /// In a fixed order: the order of checkpoints and of the optimiser.
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  const std::vector<NamedBuffer>& buffers() const { return buffers_; }
  std::int64_t parameter_count() const;

  /// What rows are multiplied with before they are scaled to length 1, (D, D): row i makes element i. With
  /// options().whitening; the identity until one is set; otherwise none. Inference has it, training does not: forward()
  /// leaves it out in training mode, and no gradient moves it (train/whitening.h).
  Tensor whitening() const { return options_.whitening ? buffers_.back().tensor : Tensor(); }
  /// Of floating-point numbers, copied. Throws Error where the options have no whitening, and on another shape.
  void set_whitening(const Tensor& matrix);

  bool training() const { return training_; }
  void set_training(bool training) { training_ = training; }
  /// The type in which forward() stores activations and their gradients, and in which it convolves: at first that of
  /// the weights. Weights, statistics, sums and the fingerprints keep theirs, and embed() too.
  DType activation_type() const { return activation_type_.value_or(weight_type()); }
  /// bf16 (for weights in f32) or the weights' own type. Throws Error on any other.
  void set_activation_type(DType dtype);

  /// To be called after parameters or buffers were written: embed() prepares its weights anew.
  void weights_changed() { ++weights_version_; }

  /// Where the weights are: forward() and embed() take input from there and leave their result there.
  Device device() const { return parameters_.front().variable.value().device(); }
  /// Moves parameters and buffers. Gradients are dropped; the parameters' variables stay the same, but tensors that
  /// were taken from them or from buffers() before (an optimiser's moments, say) stay where they were. Not to be called
  /// while another thread uses the encoder.
  void to(Device device);

 protected:
  explicit Encoder(EncoderOptions options) : options_(std::move(options)) {}
  Variable add_parameter(std::string name, Tensor value, std::int64_t layers = 1);
  Tensor add_buffer(std::string name, Tensor value);
  /// To be called last by a constructor: the buffer of whitening(), where the options ask for it.
  void add_whitening();
  /// Of what the head makes of each segment, (N, D): fingerprints, recorded.
  Variable fingerprints_of(const Variable& rows) const;
  /// The same without a graph, not yet scaled to length 1.
  Tensor whitened(const Tensor& rows) const;
  /// Called when buffers() has other tensors than add_buffer() returned: take them from there.
  virtual void buffers_moved() = 0;
  /// Throws Error unless x is (N, bands, frames, 1) of the weights' type and on their device.
  void check_input(const Tensor& x) const;
  /// In activation_type(): the input, and a parameter that is convolved with.
  Variable stored(const Variable& x) const;
  DType weight_type() const { return parameters_.front().variable.value().dtype(); }
  std::uint64_t weights_version() const { return weights_version_; }

 private:
  EncoderOptions options_;
  std::vector<NamedParameter> parameters_;
  std::vector<NamedBuffer> buffers_;
  bool training_ = true;
  std::optional<DType> activation_type_;
  std::atomic<std::uint64_t> weights_version_{1};
};

/// The types that make_encoder() knows.
std::vector<std::string> encoder_names();

/// A fresh encoder, initialised from `seed`: each parameter draws from its own Philox stream, keyed by its name, so
/// options that add parameters leave the others as they were. `dtype` f64 serves gradient checks.
/// Throws Error on options that validate() refuses or a type that does not exist.
std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options, std::uint64_t seed = 1, DType dtype = DType::f32);

}  // namespace earmark::nn
