#include "experiments/recorded_exchange.h"

#include <algorithm>
#include <utility>

namespace earmark::experiments {

namespace {

class RecordedCommunicator final : public Communicator {
 public:
  RecordedCommunicator(std::shared_ptr<Communicator> ranks, std::shared_ptr<ExchangeList> list)
      : ranks_(std::move(ranks)), list_(std::move(list)), channel_(list_->add_channel()) {}

  int rank() const override { return ranks_->rank(); }
  int size() const override { return ranks_->size(); }
  std::chrono::milliseconds timeout() const override { return ranks_->timeout(); }
  void all_reduce(std::span<const Tensor> tensors, Combine how) override {
    std::vector<Tensor> like(tensors.size());
    std::ranges::transform(tensors, like.begin(), zeros_like);
    list_->add(channel_, [like, how](Communicator& by) { by.all_reduce(like, how); });
    ranks_->all_reduce(tensors, how);
  }
  void all_gather(const Tensor& part, const Tensor& whole) override {
    list_->add(channel_,
               [part = zeros_like(part), whole = zeros_like(whole)](Communicator& by) { by.all_gather(part, whole); });
    ranks_->all_gather(part, whole);
  }
  void reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) override {
    list_->add(channel_, [whole = zeros_like(whole), part = zeros_like(part), how](Communicator& by) {
      by.reduce_scatter(whole, part, how);
    });
    ranks_->reduce_scatter(whole, part, how);
  }
  void broadcast(const Tensor& t, int root) override {
    list_->add(channel_, [like = zeros_like(t), root](Communicator& by) { by.broadcast(like, root); });
    ranks_->broadcast(t, root);
  }
  void barrier() override {
    list_->add(channel_, [](Communicator& by) { by.barrier(); });
    ranks_->barrier();
  }
  std::shared_ptr<Communicator> another() override { return recorded(ranks_->another(), list_); }
  void abandon() override { ranks_->abandon(); }

 private:
  std::shared_ptr<Communicator> ranks_;
  std::shared_ptr<ExchangeList> list_;
  std::size_t channel_;
};

}  // namespace

std::size_t ExchangeList::add_channel() {
  const std::scoped_lock lock(mutex_);
  channels_.emplace_back();
  return channels_.size() - 1;
}

void ExchangeList::note(bool calls) {
  const std::scoped_lock lock(mutex_);
  noted_ = calls;
}

void ExchangeList::add(std::size_t channel, Call call) {
  const std::scoped_lock lock(mutex_);
  if (noted_) {
    channels_[channel].push_back(std::move(call));
  }
}

std::size_t ExchangeList::size() const {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  std::ranges::for_each(channels_, [&](const std::vector<Call>& calls) { count += calls.size(); });
  return count;
}

void ExchangeList::repeat(Communicator& by) const {
  for (const std::vector<Call>& calls : channels_) {
    std::ranges::for_each(calls, [&](const Call& call) { call(by); });
  }
}

std::shared_ptr<Communicator> recorded(std::shared_ptr<Communicator> ranks, std::shared_ptr<ExchangeList> list) {
  return std::make_shared<RecordedCommunicator>(std::move(ranks), std::move(list));
}

}  // namespace earmark::experiments
