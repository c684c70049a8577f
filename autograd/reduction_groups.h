// Sums over a batch that have the same bits however many processes share it. The batch is cut into groups of
// neighbouring rows, as many whatever the number of processes; each group is summed by itself, and the groups' sums are
// added up in pairs: ((g0 + g1) + (g2 + g3)), rounded each time. A process has some neighbouring groups, so that what
// it adds up is a branch of that tree, and Combine::in_pairs (kernels/communicator.h) the rest of it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/tensor.h"

namespace earmark {

/// Rows [begin, end) of a batch.
struct RowRange {
  std::int64_t begin;
  std::int64_t end;
  /// Those of `t`, sharing memory; none of none.
  Tensor of(const Tensor& t) const { return t ? t.slice(begin, end) : t; }
};

/// Which groups of a batch the rows of this process are.
class ReductionGroups {
 public:
  ReductionGroups() = default;  ///< Off: the batch is summed as a whole.
  /// `all` groups, shared out evenly among so many processes; 1: off. Throws Error unless `all` is a power of two and
  /// `processes` divides it.
  ReductionGroups(std::int64_t all, int processes);

  bool on() const { return all_ > 1; }
  std::int64_t all() const { return all_; }  ///< Of all processes.
  std::int64_t own() const { return own_; }  ///< Of this one.
  /// Own group `group` of `rows` rows. Throws Error where they cannot be shared out evenly.
  RowRange rows_of(std::int64_t group, std::int64_t rows) const;

  /// What the rows of one group add up to: the same number of tensors each time, some of which may be none, and which
  /// are no one else's.
  using Partial = std::function<std::vector<Tensor>(const RowRange& group)>;
  /// The sum over the own groups of `rows` rows, in pairs. Where groups are off: `partial` of all rows. At no time are
  /// there more than 1 + log2(own()) partials.
  std::vector<Tensor> sum(std::int64_t rows, const Partial& partial) const;

  /// Throws Error naming an operation that sums over rows without groups, where they are on.
  static void refuse(const char* operation);

  /// This thread's: what ReductionGroupsScope says, else off.
  static const ReductionGroups& current();

 private:
  std::int64_t all_ = 1;
  std::int64_t own_ = 1;
};

/// While it lives, operations that are recorded by this thread sum over their leading axis by groups, then and in their
/// backward passes; NT-Xent is given the views of one group after those of the other, and its loss is this process'
/// share of the whole batch's mean: losses and gradients of all processes add up to those of the batch.
class ReductionGroupsScope {
 public:
  explicit ReductionGroupsScope(const ReductionGroups& groups);
  ~ReductionGroupsScope();
  ReductionGroupsScope(const ReductionGroupsScope&) = delete;
  ReductionGroupsScope& operator=(const ReductionGroupsScope&) = delete;

 private:
  ReductionGroups before_;
};

}  // namespace earmark
