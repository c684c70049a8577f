#include "kernels/communicator.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kernels/cuda/nccl_communicator.h"
#include "kernels/cuda/properties.h"
#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/gloo_communicator.h"
#include "kernels/shared_communicator.h"

namespace earmark {

namespace {

#ifndef EARMARK_NCCL
#error "CMakeLists.txt says whether NCCL is there"
#endif
constexpr bool kBuiltWithNccl = EARMARK_NCCL != 0;

constexpr std::size_t kIdentity = 16;  // bytes

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

/// Throws Error where the environment asks for what there is not.
bool tcp_wanted() {
  const char* const named = std::getenv("EARMARK_TRANSPORT");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  const std::string_view transport = named == nullptr ? "" : named;
  check(transport.empty() || transport == "tcp", "EARMARK_TRANSPORT: expected tcp or nothing, got '", transport, "'");
  return transport == "tcp";
}

}  // namespace

std::shared_ptr<Communicator> make_communicator(const Rank& rank, std::chrono::milliseconds timeout) {
  check(rank.size >= 1 && rank.rank >= 0 && rank.rank < rank.size, "rank ", rank.rank, " of ", rank.size);
  if (rank.size == 1) {
    return std::make_shared<Alone>();
  }
  const bool shared = !tcp_wanted();
  return through_shared_memory(std::make_shared<GlooCommunicator>(rank, timeout), shared);
}

void check_devices(Communicator& ranks, Device device) {
  std::array<std::uint8_t, 1 + kIdentity> own{static_cast<std::uint8_t>(device.backend)};
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      std::ranges::copy(kernels::cuda::device_identity(device.index), own.begin() + 1);
    }
  }
  const Tensor part = Tensor::from<std::uint8_t>({1, 1 + kIdentity}, own);
  const Tensor all({ranks.size(), 1 + kIdentity}, DType::u8);
  ranks.all_gather(part, all);
  const auto of = [&](int rank) { return all.slice(rank, rank + 1).values<std::uint8_t>(); };
  const char* const names[] = {"the CPU", "a GPU"};
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const std::uint8_t backend = of(rank)[0];
    check(backend == of(0)[0], "rank ", rank, " computes on ", names[backend != 0], ", rank 0 on ",
          names[of(0)[0] != 0], ": add --device cpu, or give each rank a GPU");
    for (int other = 0; other < rank && backend != 0; ++other) {
      check(!std::ranges::equal(of(other), of(rank)), "ranks ", other, " and ", rank,
            " have the same GPU: each rank of a machine needs one of its own; start fewer, or add --device cpu");
    }
  }
}

std::shared_ptr<Communicator> on_device(const std::shared_ptr<Communicator>& ranks, Device device) {
  if (ranks->size() == 1) {
    return ranks;
  }
  check_devices(*ranks, device);
  if (device.backend == Backend::cpu) {
    return ranks;
  }
  if constexpr (kBuiltWithCuda && kBuiltWithNccl) {
    return kernels::cuda::make_nccl_communicator(ranks, device.index);
  }
  fail(
      "this build has no NCCL, which GPUs of several processes exchange by: build where nccl.h and libnccl are "
      "(Debian: libnccl-dev), or add --device cpu");
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
