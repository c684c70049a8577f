// Batch normalisation over the rows of several ranks: what it asks of them. The ranks each have as many rows.
#pragma once

#include "autograd/reduction_groups.h"
#include "kernels/batch_norm.h"

namespace earmark {

/// Every rank makes the same calls in the same order. Throws Error where a rank has gone.
class RankStatistics {
 public:
  RankStatistics() = default;
  virtual ~RankStatistics() = default;
  RankStatistics(const RankStatistics&) = delete;
  RankStatistics& operator=(const RankStatistics&) = delete;

  virtual int ranks() const = 0;
  /// all (ranks, ...) = every rank's `own` (...), in the order of the ranks.
  virtual void gather(const Tensor& own, const Tensor& all) const = 0;
  /// Each tensor becomes the mean of all ranks' ones; a and b have one shape and type.
  virtual void average(const Tensor& a, const Tensor& b) const = 0;
  /// Each tensor becomes the sum of all ranks' ones, in pairs; a and b have one shape and type.
  virtual void add_up(const Tensor& a, const Tensor& b) const = 0;
};

/// While it lives, training's batch normalisations that are recorded by this thread have the statistics of all ranks'
/// rows, and so do their backward passes, which may run later: `ranks` must outlive those.
class RankStatisticsScope {
 public:
  /// Null: the statistics of this rank's rows alone.
  explicit RankStatisticsScope(const RankStatistics* ranks);
  ~RankStatisticsScope();
  RankStatisticsScope(const RankStatisticsScope&) = delete;
  RankStatisticsScope& operator=(const RankStatisticsScope&) = delete;

  /// This thread's, or null.
  static const RankStatistics* current();

 private:
  const RankStatistics* before_;
};

/// kernels::batch_norm_statistics of this rank's rows, or, where `ranks` is not null, of all ranks'; where groups are
/// on, merged from those of all groups, in their order. In a RepeatedForwardScope the running ones stay.
void batch_norm_statistics(const kernels::BatchNormStatistics& given, const RankStatistics* ranks,
                           const ReductionGroups& groups);
/// kernels::batch_norm_backward after those. dgamma and dbeta are this rank's share all the same: what is added up over
/// the ranks with all other gradients.
void batch_norm_backward(const kernels::BatchNormBackward& b, const RankStatistics* ranks,
                         const ReductionGroups& groups);

}  // namespace earmark
