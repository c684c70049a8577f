#include "kernels/cuda/nccl_communicator.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "kernels/cuda/collective.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/error.h"
#include "kernels/rank_watch.h"

namespace earmark::kernels::cuda {
namespace {

Combine named_here(earmark::Combine how) {
  check(how == earmark::Combine::sum || how == earmark::Combine::mean, "GPUs exchange sums and means, no other sums");
  return how == earmark::Combine::mean ? Combine::mean : Combine::sum;
}

bool is_on_gpu(const Tensor& t) { return t.device().backend == Backend::cuda; }

/// Rank 0 makes it.
CommunicatorId shared_id(earmark::Communicator& ranks) {
  const Tensor bytes = Tensor::zeros({static_cast<std::int64_t>(CommunicatorId().size())}, DType::u8);
  if (ranks.rank() == 0) {
    std::ranges::copy(new_communicator_id(), bytes.mutable_data<std::uint8_t>());
  }
  ranks.broadcast(bytes, 0);
  CommunicatorId id;
  std::ranges::copy(bytes.values<std::uint8_t>(), id.begin());
  return id;
}

class NcclCommunicator final : public earmark::Communicator {
 public:
  NcclCommunicator(std::shared_ptr<earmark::Communicator> ranks, int device)
      : host_(std::move(ranks)),
        device_(device),
        exceptions_(std::uncaught_exceptions()),
        stream_((make_current(device), std::make_unique<Stream>())),
        watch_(
            host_->another(), [this] { return problem(); }, [this] { stop(); }) {
    // Watched from here on: a rank may go before all have come.
    nccl_ = std::make_unique<kernels::cuda::Communicator>(shared_id(*host_), host_->size(), host_->rank(),
                                                          [this] { watch_.check_ranks(); });
    ready_ = nccl_.get();
    watch_.check_ranks();
  }
  ~NcclCommunicator() override {
    try {
      if (std::uncaught_exceptions() == exceptions_) {
        nccl_->finish();
      }
    } catch (const Error&) {  // a rank has gone: whoever needed it has been told
    }
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::chrono::milliseconds timeout() const override { return host_->timeout(); }

  void all_reduce(std::span<const Tensor> tensors, earmark::Combine how) override {
    if (tensors.empty() || !is_on_gpu(tensors.front())) {
      return host_->all_reduce(tensors, how);
    }
    all_reduce_beside(tensors, how);
    join();
  }
  void all_gather(const Tensor& part, const Tensor& whole) override {
    if (!is_on_gpu(part)) {
      return host_->all_gather(part, whole);
    }
    queue([&] { nccl_->all_gather(part, whole); });
    join();
  }
  void reduce_scatter(const Tensor& whole, const Tensor& part, earmark::Combine how) override {
    if (!is_on_gpu(part)) {
      return host_->reduce_scatter(whole, part, how);
    }
    queue([&] { nccl_->reduce_scatter(whole, part, named_here(how)); });
    join();
  }
  void broadcast(const Tensor& t, int root) override {
    if (!is_on_gpu(t)) {
      return host_->broadcast(t, root);
    }
    queue([&] { nccl_->broadcast(t, root); });
    join();
  }
  void barrier() override { host_->barrier(); }

  void all_reduce_beside(std::span<const Tensor> tensors, earmark::Combine how) override {
    if (tensors.empty() || !is_on_gpu(tensors.front())) {
      return host_->all_reduce(tensors, how);
    }
    queue([&] { nccl_->all_reduce(tensors, named_here(how)); });
  }
  void join() override {
    make_current(device_);
    if (queued_) {
      done_.wait();
    }
  }
  void begin_replay() override {
    watch_.check_ranks();
    watch_.count_call();
  }
  void wait(const std::function<void()>& work) override { watch_.wait(work); }

  std::shared_ptr<earmark::Communicator> another() override {
    return make_nccl_communicator(host_->another(), device_);
  }
  void abandon() override {
    stop();
    watch_.give_up();
  }

 private:
  /// Calls NCCL on its own stream, which goes on when what the current stream holds now is done.
  template <class Call>
  void queue(Call call) {
    watch_.check_ranks();
    make_current(device_);
    ready_to_send_.record();
    const StreamScope scope(*stream_);
    ready_to_send_.wait();
    try {
      call();
    } catch (const Error&) {
      watch_.ask_ranks();  // where one has gone, this says which
      throw;
    }
    done_.record();
    queued_ = true;
    watch_.count_call();
  }

  std::string problem() const {
    const auto* const nccl = ready_.load();
    return nccl == nullptr ? "" : nccl->problem();
  }
  void stop() const {
    if (auto* const nccl = ready_.load()) {
      nccl->abort();
    }
  }

  std::shared_ptr<earmark::Communicator> host_;
  int device_;
  int exceptions_;  // that were on their way when it was made
  std::unique_ptr<Stream> stream_;
  Event ready_to_send_;  // recorded on the current stream
  Event done_;           // on ours
  bool queued_ = false;
  std::unique_ptr<kernels::cuda::Communicator> nccl_;
  std::atomic<kernels::cuda::Communicator*> ready_{nullptr};  // it, for the watch's thread, which ends before it
  RankWatch watch_;
};

}  // namespace

std::shared_ptr<earmark::Communicator> make_nccl_communicator(std::shared_ptr<earmark::Communicator> ranks,
                                                              int device) {
  return std::make_shared<NcclCommunicator>(std::move(ranks), device);
}

}  // namespace earmark::kernels::cuda
