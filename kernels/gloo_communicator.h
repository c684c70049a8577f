// A communicator over TCP, by Gloo's connections. Gloo carries bytes between two ranks; who sends what to whom, and the
// order of sums, is ours: Gloo's own sums go round a ring, so that bits would depend on where in a buffer a number is.
//   all_reduce      numbers of few bytes go from everyone to everyone; of many, each rank adds up a share of them, and
//                   gives it to the others: 2 (size - 1) / size of the bytes per rank, as a ring.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/communicator.h"

namespace earmark {

class GlooCommunicator final : public Communicator {
 public:
  /// As make_communicator(), of two ranks or more.
  GlooCommunicator(const Rank& rank, std::chrono::milliseconds timeout);
  ~GlooCommunicator() override;

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
  struct Mesh;  // the connections
  /// Bytes that go to another rank, or come from it.
  struct Parcel {
    int rank;
    std::span<std::byte> bytes;
  };
  explicit GlooCommunicator(std::shared_ptr<Mesh> mesh);

  /// All at once; returns when all are where they belong.
  void exchange(std::span<const Parcel> sent, std::span<const Parcel> received);
  void reduce(const Tensor& packed, Combine how);
  /// Each rank's bytes of this rank's share, in the order of the ranks; `own` is what it brings itself.
  std::vector<std::vector<std::byte>> collect(std::span<const Parcel> sent, std::span<const std::byte> own);

  std::shared_ptr<Mesh> mesh_;
  std::uint64_t channel_;
  std::uint64_t calls_ = 0;
};

}  // namespace earmark
