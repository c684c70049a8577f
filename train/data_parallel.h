// A training step of one rank of several, such that all ranks' steps together are one step on their pairs together:
//   - each embedding is told apart from those of all ranks: they are gathered, and a rank has the rows of the
//     similarities that belong to its own pairs (kernels/nt_xent.h);
//   - batch normalisation has the statistics of all ranks' rows, unless it is told not to;
//   - gradients become the ranks' mean.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "autograd/functions.h"
#include "autograd/rank_statistics.h"
#include "kernels/communicator.h"
#include "nn/encoder.h"
#include "train/gradient_buckets.h"

namespace earmark::train {

class DataParallel {
 public:
  /// The encoder's parameters and buffers become rank 0's. `ranks` are such for its device (on_device()). Throws Error
  /// as the communicator does.
  DataParallel(std::shared_ptr<Communicator> ranks, const nn::Encoder& encoder, bool sync_batch_norm);
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// For the RankStatisticsScope of a step; null where every rank normalises its own rows.
  const RankStatistics* statistics() const { return statistics_.get(); }
  void begin_step() { buckets_.begin_step(); }
  /// NT-Xent of this rank's embeddings (2P, D) against all ranks'. The mean of the ranks' losses is that of all pairs,
  /// and so are the means of the gradients that follow from it.
  NtXentResult loss(const Variable& embeddings, double temperature) const;
  /// After backward: gradients, loss and top-1 become the means of all ranks.
  void finish_step(const NtXentResult& result);
  /// Does `work`, which waits for steps. Throws Error where a rank has gone meanwhile.
  void wait(const std::function<void()>& work) const { ranks_->wait(work); }

 private:
  class Statistics;

  std::shared_ptr<Communicator> ranks_;
  std::unique_ptr<RankStatistics> statistics_;
  GradientBuckets buckets_;
};

}  // namespace earmark::train
