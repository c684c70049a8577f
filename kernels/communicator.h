// What ranks do together: sums over all, gathering, scattering, broadcasting. Every rank makes the
// same calls in the same order, with tensors of the same shapes and types. Each returns when this rank's tensors are
// what it says. The same inputs give the same bits, at all ranks: sums are taken in the order of the ranks, in double,
// or in pairs.
// Tensors on GPUs are exchanged by those (NCCL): then a call returns when it is queued, and what the current stream
// does from then on sees the result. NCCL adds in the tensors' own type, in an order of its own: all ranks have the
// same bits, and the same number of GPUs, connected alike, has them every time; they are not those of the CPU. For a
// mean it may divide before it adds.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "kernels/device.h"
#include "kernels/rank.h"
#include "kernels/tensor.h"

namespace earmark {

enum class Combine {
  sum,
  mean,
  /// The sum of neighbours, of those sums' neighbours, and so on, rounded to the tensors' type each time: of ranks
  /// whose tensors are sums of this kind themselves it is the same bits, whatever their number, which is a power of two
  /// (autograd/reduction_groups.h).
  in_pairs,
};

/// A rank's end of its group. Everything throws Error that names the rank which has gone, or has not answered in time;
/// so does every later call, of every rank of the group: nobody waits for ever.
class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// How long it waits for a rank that is silent.
  virtual std::chrono::milliseconds timeout() const = 0;
  /// Each tensor becomes the sum or the mean of all ranks' ones. They are f32 or f64, all alike; many at once cost
  /// hardly more than one. Throws Error on sums in pairs of a number of ranks that is no power of two.
  virtual void all_reduce(std::span<const Tensor> tensors, Combine how) = 0;
  /// `whole` (size * n, ...) becomes all ranks' `part` (n, ...), in the order of the ranks.
  virtual void all_gather(const Tensor& part, const Tensor& whole) = 0;
  /// `part` (n, ...) becomes this rank's part of the sum or the mean of all ranks' `whole` (size * n, ...), f32 or f64.
  virtual void reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) = 0;
  /// `t` becomes that of rank `root`.
  virtual void broadcast(const Tensor& t, int root) = 0;
  /// Returns when all ranks have called it.
  virtual void barrier() = 0;
  /// all_reduce() of tensors on a GPU beside what this thread queues there, up to the next join(); of others, at once.
  virtual void all_reduce_beside(std::span<const Tensor> tensors, Combine how) { all_reduce(tensors, how); }
  /// What the current stream does from now on sees the results of all_reduce_beside().
  virtual void join() {}
  /// Before each launch of a CUDA graph that some of its calls were recorded into: it makes them anew. All ranks launch
  /// it together. The graph has to be gone before this is.
  virtual void begin_replay() {}
  /// Does `work`, which waits for a GPU that works together with others.
  virtual void wait(const std::function<void()>& work) { work(); }

  /// Of the same ranks, for another thread: its calls do not mix with this one's. They all fail together.
  virtual std::shared_ptr<Communicator> another() = 0;
  /// Makes what any thread of any rank waits for fail at once: this rank will not go on.
  virtual void abandon() = 0;
};

/// Of one process alone it does nothing; else it connects the ranks over TCP (Gloo), for tensors in the host's memory.
/// Where all are on one machine they exchange through shared memory, unless EARMARK_TRANSPORT is "tcp". Waits, then and
/// later, at most `timeout`. Throws Error naming the ranks that have not come by then. From then on the process ignores
/// SIGPIPE: a rank that has gone is an error, not an end.
std::shared_ptr<Communicator> make_communicator(const Rank& rank, std::chrono::milliseconds timeout);

/// The same ranks for tensors on `device` as well, which each has for itself; those in the host's memory go through
/// `ranks` as before. All ranks call it together. On the CPU, and of one rank alone, `ranks` itself. Throws Error as
/// check_devices() does, where this build has no NCCL, and where a rank has gone.
std::shared_ptr<Communicator> on_device(const std::shared_ptr<Communicator>& ranks, Device device);
/// Throws Error where ranks compute on different kinds of device, or two of them on the same GPU, naming them.
void check_devices(Communicator& ranks, Device device);

/// Numbers of all ranks added up, element by element.
void add_up(Communicator& ranks, std::span<double> numbers);
/// Numbers of rank `root`.
void take_over(Communicator& ranks, std::span<double> numbers, int root);

}  // namespace earmark
