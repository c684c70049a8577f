// Adam over an encoder's parameters: the moments and where they are kept.
#pragma once

#include <vector>

#include "nn/encoder.h"
#include "nn/safetensors.h"
#include "train/options.h"

namespace earmark::train {

class Adam {
 public:
  Adam(const nn::Encoder& encoder, const OptimizerOptions& options);

  /// Clips if the options say so, moves every parameter that has a gradient, and clears the gradients; the host does
  /// not wait for any of it. When `loss` () or the norm of all gradients is not finite, nothing is moved, now and from
  /// then on. Where the device refuses an update that it has half begun, this and all further steps throw Error, until
  /// parameters and state are loaded.
  void step(double learning_rate, const Tensor& loss);
  /// What step() does at its end; for a step that failed before.
  void forget_gradients();
  /// Of all gradients of the last step before clipping, () f64 on their device; the next step overwrites it.
  Tensor norm() const { return gate_.slice(0, 1); }
  /// Says that the last step moved nothing.
  void step_was_refused() { --steps_done_; }

  std::int64_t steps_done() const { return steps_done_; }
  /// The moments, as "<parameter>.moment1" and ".moment2", with the step in the metadata.
  nn::SafetensorsFile state() const;
  /// Throws Error naming `origin` when a moment is missing or has another shape.
  void load_state(const nn::SafetensorsFile& state, const std::string& origin);

 private:
  std::vector<nn::NamedParameter> parameters_;
  std::vector<Tensor> moment1_;
  std::vector<Tensor> moment2_;
  Tensor gate_;  // kernels::UpdateGate's
  OptimizerOptions options_;
  std::int64_t steps_done_ = 0;
  bool cut_off_ = false;  // only some parameters were updated
};

}  // namespace earmark::train
