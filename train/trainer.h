// One training step: both views of every pair through the encoder, in one batch or in micro-batches, NT-Xent over all
// of them, backward, Adam.
#pragma once

#include <memory>

#include "autograd/functions.h"
#include "autograd/reduction_groups.h"
#include "data/pair_sampler.h"
#include "kernels/readback.h"
#include "nn/model.h"
#include "train/adam.h"

namespace earmark {
class Communicator;
}

namespace earmark::train {

class DataParallel;
class RecordedStep;
struct StepLosses;

struct StepReport {
  double loss = 0;
  double top1 = 0;       ///< Share of views whose partner is nearer than every other view of the batch.
  double grad_norm = 0;  ///< Before clipping.
  bool finite() const;   ///< Otherwise nothing was updated.
};

/// How a step is done.
struct StepOptions {
  /// On a GPU, the step is recorded in a CUDA graph: the first step of a shape runs as always, the second is recorded,
  /// and it and those that follow are one launch each. Then everything the trainer's thread does on that GPU goes to a
  /// stream of the trainer's, until the trainer is destroyed by the same thread. On the CPU it means nothing. What
  /// ranks exchange in a step is part of its record: all ranks record, and the trainer is destroyed before their
  /// communicator.
  bool cuda_graph = false;
  /// Activations are kept of so many pairs at a time (train/gradient_cache.h), recorded or not: it must divide the
  /// pairs of a batch. 0: of all.
  std::int64_t micro_batch = 0;
  /// Above 1, a power of two that divides the number of pairs, a step's bits are the same for any number of ranks that
  /// divides it (autograd/reduction_groups.h). On the CPU, in f32 or f64, without micro-batches.
  std::int64_t reduction_groups = 1;
};

class Trainer {
 public:
  /// Throws Error where the options do not go together.
  Trainer(nn::Model model, const OptimizerOptions& options, double temperature, const StepOptions& step = {});

  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// From now on a step is one rank's part of a step of all `ranks`: batches are its share of theirs, all of one size,
  /// and loss, top-1 and gradients those of all pairs. The model and the optimiser's state become rank 0's. `ranks` are
  /// such for the model's device (on_device()). Throws Error as the communicator does, as do steps. Of one rank alone
  /// it changes nothing. With `shard_optimizer` each rank keeps a share of the optimiser's state (Adam::divide_among):
  /// the same bits.
  void join(const std::shared_ptr<Communicator>& ranks, bool sync_batch_norm, bool shard_optimizer = false);

  /// Trains on one batch, on the encoder's device, without waiting for it: reports are taken later, in order. From the
  /// first step on whose loss or gradient is not finite, nothing is updated. The encoder is in training mode
  /// afterwards. A step that throws because the device has no memory left has changed no parameter.
  void begin_step(const data::Batch& batch, double learning_rate);
  /// What the oldest step reports whose report was not taken yet; waits for it.
  StepReport finish_step();
  /// Both.
  StepReport step(const data::Batch& batch, double learning_rate);

  const nn::Model& model() const { return model_; }
  Adam& adam() { return adam_; }
  const Adam& adam() const { return adam_; }

 private:
  void queue_step(const data::Batch& batch, double learning_rate);
  /// All of a step that is the same each time: forward, backward and update on views (2N, F, T), which it only reads.
  StepLosses compute(const Tensor& views);
  /// Leaves gradients in the encoder's parameters, complete but for what the ranks still exchange.
  NtXentResult forward_and_backward(const Tensor& views);
  NtXentResult loss(const Variable& embeddings) const;

  std::unique_ptr<RecordedStep> recorded_;  // null: steps are not recorded
  nn::Model model_;
  Adam adam_;
  double temperature_;
  std::int64_t micro_batch_;
  ReductionGroups groups_;
  std::unique_ptr<DataParallel> parallel_;  // null: one process
  Readback reports_;
};

/// Rows of a, then rows of b, on `device`; cut into `groups` of as many rows, those of the first group before those of
/// the second.
Tensor concatenate(const Tensor& a, const Tensor& b, Device device = {}, std::int64_t groups = 1);

}  // namespace earmark::train
