// What several ranks do together, each with a GPU of its own: sums over all, gathering, scattering, broadcasting
// through NCCL. No CUDA header is needed to call it. Every rank makes the same calls in the same order, with tensors of
// the same shape and type. They are queued on the calling thread's current stream and nothing waits; a rank that does
// not call lets the others wait for ever.
#pragma once

#include <array>
#include <span>

#include "kernels/tensor.h"

struct ncclComm;

namespace earmark::kernels::cuda {

/// What the ranks of a communicator find each other by: made by one of them, and carried to all.
using CommunicatorId = std::array<char, 128>;

/// Throws Error when NCCL cannot make one.
CommunicatorId new_communicator_id();

enum class Combine { sum, mean, min, max };

/// A rank's end of a group of ranks. Everything throws Error; once a rank has failed or gone, so does what the others
/// ask.
class Communicator {
 public:
  /// Blocks until all `size` ranks have come; this one, number `rank`, with the current GPU, which is no other's.
  Communicator(const CommunicatorId& id, int size, int rank);
  /// What is queued is still done, unless a rank has failed, or this one is left because something was thrown: then the
  /// others must not wait for it.
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int size() const { return size_; }
  int rank() const { return rank_; }

  /// Each tensor becomes what all ranks' make together, element by element. Many at once cost hardly more than one.
  void all_reduce(std::span<const Tensor> tensors, Combine how) const;
  /// `whole` (size * n, ...) becomes all ranks' `part` (n, ...), in the order of the ranks.
  void all_gather(const Tensor& part, const Tensor& whole) const;
  /// `part` (n, ...) becomes this rank's part of what all ranks' `whole` (size * n, ...) make together.
  void reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) const;
  /// `t` becomes that of rank `root`.
  void broadcast(const Tensor& t, int root) const;

  /// Throws Error where a rank has failed: a thread that waits can ask.
  void check_ranks() const;

 private:
  ncclComm* comm_ = nullptr;
  int size_ = 0;
  int rank_ = 0;
  int exceptions_ = 0;  // that were on their way when it was made
};

}  // namespace earmark::kernels::cuda
