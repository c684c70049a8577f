#include "kernels/communicator.h"

#include <algorithm>

#include "kernels/error.h"
#include "kernels/gloo_communicator.h"

namespace earmark {

namespace {

/// A group of one.
class Alone final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::chrono::milliseconds timeout() const override { return {}; }
  void all_reduce(std::span<const Tensor> /*tensors*/, Combine /*how*/) override {}
  void all_gather(const Tensor& part, const Tensor& whole) override { whole.copy_from(part); }
  void reduce_scatter(const Tensor& whole, const Tensor& part, Combine /*how*/) override { part.copy_from(whole); }
  void broadcast(const Tensor& /*t*/, int /*root*/) override {}
  void barrier() override {}
  std::shared_ptr<Communicator> another() override { return std::make_shared<Alone>(); }
  void abandon() override {}
};

}  // namespace

std::shared_ptr<Communicator> make_communicator(const Rank& rank, std::chrono::milliseconds timeout) {
  check(rank.size >= 1 && rank.rank >= 0 && rank.rank < rank.size, "rank ", rank.rank, " of ", rank.size);
  if (rank.size == 1) {
    return std::make_shared<Alone>();
  }
  return std::make_shared<GlooCommunicator>(rank, timeout);
}

void add_up(Communicator& ranks, std::span<double> numbers) {
  const Tensor t = Tensor::from<double>({static_cast<std::int64_t>(numbers.size())}, numbers);
  ranks.all_reduce({&t, 1}, Combine::sum);
  std::ranges::copy(t.values<double>(), numbers.begin());
}

void take_over(Communicator& ranks, std::span<double> numbers, int root) {
  const Tensor t = Tensor::from<double>({static_cast<std::int64_t>(numbers.size())}, numbers);
  ranks.broadcast(t, root);
  std::ranges::copy(t.values<double>(), numbers.begin());
}

}  // namespace earmark
