// One training step: both views of every pair through the encoder in one batch, NT-Xent, backward, Adam.
#pragma once

#include "data/pair_sampler.h"
#include "nn/model.h"
#include "train/adam.h"

namespace earmark::train {

struct StepReport {
  double loss = 0;
  double top1 = 0;       ///< Share of views whose partner is nearer than every other view of the batch.
  double grad_norm = 0;  ///< Before clipping.
  bool finite() const;   ///< Otherwise nothing was updated.
};

class Trainer {
 public:
  Trainer(nn::Model model, const OptimizerOptions& options, double temperature);

  /// Trains on one batch. The encoder is in training mode afterwards.
  StepReport step(const data::Batch& batch, double learning_rate);

  const nn::Model& model() const { return model_; }
  Adam& adam() { return adam_; }

 private:
  nn::Model model_;
  Adam adam_;
  double temperature_;
};

/// Rows of a, then rows of b.
Tensor concatenate(const Tensor& a, const Tensor& b);

}  // namespace earmark::train
