// Ranks that communicate, each on a thread of its own with a GPU and a stream of its own.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/collective.h"
#include "tests/cuda/gpu.h"
#include "tests/ranks.h"

namespace earmark::testing {

/// As many as there are GPUs, three at most: on a machine with one, each of the tests is one of a single rank.
inline int ranks_here() { return std::min(kernels::cuda::device_count(), 3); }

/// What each rank throws, if anything.
inline std::vector<std::exception_ptr> exceptions_of_ranks(
    int size, const std::function<void(kernels::cuda::Communicator&, Device)>& body) {
  const kernels::cuda::CommunicatorId id = kernels::cuda::new_communicator_id();
  std::vector<std::exception_ptr> thrown(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        const auto stream = kernels::cuda::own_stream(rank);
        kernels::cuda::Communicator communicator(id, size, rank);
        body(communicator, {Backend::cuda, rank});
        kernels::cuda::synchronize_stream();
      } catch (...) {
        thrown[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return thrown;
}

/// The same where nothing is to be thrown.
inline void run_ranks(int size, const std::function<void(kernels::cuda::Communicator&, Device)>& body) {
  for (const std::exception_ptr& thrown : exceptions_of_ranks(size, body)) {
    if (thrown) {
      std::rethrow_exception(thrown);
    }
  }
}

using GpuRankWork = std::function<void(const std::shared_ptr<earmark::Communicator>& ranks, Device device)>;

/// The same with what programs have between their processes, the host's and the GPUs' together. What each rank threw;
/// empty: nothing.
inline std::vector<std::string> problems_of_gpus(int size, const GpuRankWork& work,
                                                 std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  return problems_of_threads(
      size,
      [&](const std::shared_ptr<earmark::Communicator>& ranks) {
        const Device device{Backend::cuda, ranks->rank()};
        const auto stream = kernels::cuda::own_stream(device.index);
        work(on_device(ranks, device), device);
        kernels::cuda::synchronize_stream();
      },
      timeout);
}

}  // namespace earmark::testing
