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

  /// Clips if the options say so, moves every parameter that has a gradient, and clears the gradients. Returns the norm
  /// of all gradients before clipping; when that is not finite, nothing is moved.
  double step(double learning_rate);

  std::int64_t steps_done() const { return steps_done_; }
  /// The moments, as "<parameter>.moment1" and ".moment2", with the step in the metadata.
  nn::SafetensorsFile state() const;
  /// Throws Error naming `origin` when a moment is missing or has another shape.
  void load_state(const nn::SafetensorsFile& state, const std::string& origin);

 private:
  std::vector<nn::NamedParameter> parameters_;
  std::vector<Tensor> moment1_;
  std::vector<Tensor> moment2_;
  OptimizerOptions options_;
  std::int64_t steps_done_ = 0;
};

}  // namespace earmark::train
