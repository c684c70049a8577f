// A communicator of ranks that are all on one machine: through memory that they share. Each rank writes what it brings
// into its own area; the others read it there. Against TCP it saves the copies into the system and out of it, and the
// thread that waits for them.
//   all_reduce      numbers of few bytes are added up by everyone; of many, each rank adds up its share, in its own
//                   area, and the others fetch that: two rounds.
// Areas are of some MiB, and there are two of each rank: what does not fit goes in pieces, one area after the other. A
// rank that writes into an area for the second time has seen that all others have come to the next one since.
#pragma once

#include <functional>
#include <optional>

#include "kernels/communicator.h"

namespace earmark {

/// The same ranks by way of shared memory, where all are on this machine, all allow it, and it has room; else `ranks`
/// itself. All ranks call it together. What is asked of it later falls back on `ranks` where there is no room for
/// another thread's areas.
std::shared_ptr<Communicator> through_shared_memory(const std::shared_ptr<Communicator>& ranks, bool allowed);

class SharedCommunicator final : public Communicator {
 public:
  ~SharedCommunicator() override;

  int rank() const override;
  int size() const override;
  std::chrono::milliseconds timeout() const override;
  void all_reduce(std::span<const Tensor> tensors, Combine how) override;
  void all_gather(const Tensor& part, const Tensor& whole) override;
  void reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) override;
  void broadcast(const Tensor& t, int root) override;
  void barrier() override;
  std::shared_ptr<Communicator> another() override;
  void abandon() override;

 private:
  friend std::shared_ptr<Communicator> through_shared_memory(const std::shared_ptr<Communicator>& ranks, bool allowed);
  class Group;  // the processes
  class Areas;  // of one communicator
  SharedCommunicator(std::shared_ptr<Group> group, std::shared_ptr<Communicator> ranks);

  /// Whether there are areas; they are made by the first call, large enough for one of so many bytes if may be.
  bool ready(std::size_t bytes);
  void reduce_piece(std::span<const Tensor> tensors, std::size_t begin, std::size_t end, Combine how);

  std::shared_ptr<Group> group_;
  std::shared_ptr<Communicator> ranks_;  // what does not go through shared memory
  std::uint64_t channel_;
  bool tried_ = false;
  std::unique_ptr<Areas> areas_;
};

}  // namespace earmark
