// What several ranks do together, each with a GPU of its own: sums over all, gathering, scattering, broadcasting
// through NCCL. No CUDA header is needed to call it. Every rank makes the same calls in the same order, with tensors of
// the same shape and type. They are queued on the calling thread's current stream and nothing waits; a rank that does
// not call lets the others wait for ever.
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <span>
#include <string>

#include "kernels/tensor.h"

struct ncclComm;

namespace earmark::kernels::cuda {

/// What the ranks of a communicator find each other by: made by one of them, and carried to all.
using CommunicatorId = std::array<char, 128>;

/// Throws Error when NCCL cannot make one.
CommunicatorId new_communicator_id();

enum class Combine { sum, mean, min, max };

/// A rank's end of a group of ranks. Everything throws Error; once a rank has failed or gone, so does what the others
/// ask. NCCL itself waits for nothing here: where it is not done at once it is asked again, so that whoever waits can
/// be let go of by abort().
class Communicator {
 public:
  /// Blocks until all `size` ranks have come; this one, number `rank`, with the current GPU, which is no other's.
  /// `check_meanwhile` is called now and then while NCCL is not done, here and later; what it throws ends the call.
  Communicator(const CommunicatorId& id, int size, int rank, std::function<void()> check_meanwhile = {});
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
  /// Waits until what is queued is done at all ranks: after that nothing can be queued.
  void finish();
  /// What NCCL says has gone wrong meanwhile, empty: nothing. From any thread.
  std::string problem() const;
  /// What is queued is not done any more, and streams go on without; every later call throws. From any thread.
  void abort() noexcept;

 private:
  /// Makes a call, and waits until NCCL is done with it.
  template <class Call>
  void call(const char* what, Call call) const;

  mutable std::mutex mutex_;  // of comm_: a thread may abort while another calls
  ncclComm* comm_ = nullptr;  // null: aborted
  std::function<void()> check_meanwhile_;
  int size_ = 0;
  int rank_ = 0;
  bool finished_ = false;
  int exceptions_ = 0;  // that were on their way when it was made
};

}  // namespace earmark::kernels::cuda
