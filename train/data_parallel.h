// A training step of one rank of several, such that all ranks' steps together are one step on their pairs together:
//   - each embedding is told apart from those of all ranks: they are gathered, and a rank has the rows of the
//     similarities that belong to its own pairs (kernels/nt_xent.h);
//   - batch normalisation has the statistics of all ranks' rows, unless it is told not to;
//   - gradients become the ranks' mean;
//   - or, where there are reduction groups, each rank has its share of loss and gradients, and they become the sum, in
//     pairs: the same bits for any number of ranks.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "autograd/functions.h"
#include "autograd/rank_statistics.h"
#include "autograd/reduction_groups.h"
#include "kernels/communicator.h"
#include "nn/encoder.h"
#include "train/gradient_buckets.h"

namespace earmark::train {

class DataParallel {
 public:
  /// The encoder's parameters and buffers become rank 0's. `ranks` are such for its device (on_device()). Throws Error
  /// as the communicator does.
  DataParallel(std::shared_ptr<Communicator> ranks, const nn::Encoder& encoder, bool sync_batch_norm,
               const ReductionGroups& groups = {});
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// For the RankStatisticsScope of a step; null where every rank normalises its own rows.
  const RankStatistics* statistics() const { return statistics_.get(); }
  void begin_step() { buckets_.begin_step(); }
  /// Before a step that may come from a CUDA graph. Throws Error where a rank has gone.
  void begin_replay() const { ranks_->begin_replay(); }
  /// As GradientBuckets::set_partial(): of several backward passes, the ranks exchange gradients during the last.
  void set_partial(bool partial) { buckets_.set_partial(partial); }
  /// NT-Xent of this rank's embeddings (2P, D) against all ranks'. The mean of the ranks' losses is that of all pairs,
  /// and so are the means of the gradients that follow from it; with reduction groups, the sums.
  NtXentResult loss(const Variable& embeddings, double temperature) const;
  /// After backward: gradients, loss and top-1 become those of all pairs.
  void finish_step(const NtXentResult& result);
  /// Does `work`, which waits for steps. Throws Error where a rank has gone meanwhile.
  void wait(const std::function<void()>& work) const { ranks_->wait(work); }

 private:
  class Statistics;

  std::shared_ptr<Communicator> ranks_;
  Combine how_;
  std::unique_ptr<RankStatistics> statistics_;
  GradientBuckets buckets_;
};

}  // namespace earmark::train
