// A training run from its first or next step to its end: batches, steps, logs, validation, checkpoints.
#pragma once

#include <atomic>
#include <memory>

#include "kernels/communicator.h"
#include "train/data_sources.h"
#include "train/options.h"
#include "train/run_folder.h"

namespace earmark::train {

struct RunReport {
  std::int64_t steps = 0;     ///< Done, restarts included.
  bool interrupted = false;   ///< Stopped by `stop`; a checkpoint holds everything.
  double loss = 0;            ///< Of the last step.
  double best_hit_rate = -1;  ///< Of best.safetensors; -1: never validated.
  std::int64_t best_step = 0;
  double elapsed_seconds = 0;  ///< Restarts included.
};

/// Where one process of a run stands.
struct RunPlace {
  const RunFolder* folder = nullptr;    ///< Rank 0's; null at the others, which write nothing.
  std::shared_ptr<Communicator> ranks;  ///< Of one: it trains alone.
};

/// Trains on `device` from `folder`'s newest checkpoint, or from the beginning where it has none, to the end of the run
/// or until `stop` is set. A run that was stopped, or killed and resumed from its checkpoint, gives bit for bit the
/// result of one that was not, on the same device. Throws Error when the loss or a gradient is not finite, naming step,
/// batch and last checkpoint.
RunReport run_training(const TrainOptions& options, const TrainingData& data, const RunFolder& folder,
                       const std::atomic<bool>& stop, Device device = {}, bool show_progress = true);
/// The same as one of several processes, each with its share of every batch: `options` and `data` are the same for all.
/// Stopped when any of them is, after the same step. Their number does not change what is trained, but for rounding,
/// nor what a checkpoint holds. Throws Error also where the pairs of a batch cannot be shared out evenly, and where a
/// process has gone.
RunReport run_training(const TrainOptions& options, const TrainingData& data, const RunPlace& place,
                       const std::atomic<bool>& stop, Device device = {}, bool show_progress = true);

}  // namespace earmark::train
