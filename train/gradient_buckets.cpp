#include "train/gradient_buckets.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace earmark::train {

GradientBuckets::GradientBuckets(std::vector<nn::NamedParameter> parameters, std::shared_ptr<Communicator> ranks,
                                 std::size_t bucket_bytes, Combine how)
    : parameters_(std::move(parameters)), ranks_(std::move(ranks)), bucket_bytes_(bucket_bytes), how_(how) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].variable.set_leaf_hook([this, i](const Tensor& /*grad*/) { completed(i); });
  }
  thread_ = std::thread([this] { work(); });
}

GradientBuckets::~GradientBuckets() {
  for (nn::NamedParameter& parameter : parameters_) {
    parameter.variable.set_leaf_hook({});
  }
  if (in_step_) {
    ranks_->abandon();
  }
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void GradientBuckets::begin_step() {
  const std::scoped_lock lock(mutex_);
  if (buckets_.empty()) {
    order_.clear();
  }
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    pending_[bucket] = buckets_[bucket].size();
  }
  handed_over_ = asked_ = reduced_ = 0;
  in_step_ = true;
  partial_ = false;
}

void GradientBuckets::completed(std::size_t parameter) {
  if (!in_step_ || partial_) {
    return;
  }
  if (buckets_.empty()) {
    order_.push_back(parameter);
    return;
  }
  const std::size_t bucket = bucket_of_[parameter];
  check(bucket < buckets_.size() && pending_[bucket] > 0, "parameter ", parameters_[parameter].name,
        " had no gradient in the first step, and has one now");
  --pending_[bucket];
  std::size_t complete = handed_over_;
  while (complete < buckets_.size() && pending_[complete] == 0) {
    ++complete;
  }
  hand_over(complete);
}

void GradientBuckets::plan() {
  bucket_of_.assign(parameters_.size(), parameters_.size());
  std::size_t bytes = bucket_bytes_;
  for (const std::size_t parameter : order_) {
    if (bytes >= bucket_bytes_) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().push_back(parameter);
    bucket_of_[parameter] = buckets_.size() - 1;
    bytes += parameters_[parameter].variable.value().bytes();
  }
  pending_.assign(buckets_.size(), 0);
}

void GradientBuckets::finish_step() {
  early_ = handed_over_;
  if (buckets_.empty()) {
    plan();
  }
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    check(pending_[bucket] == 0, "a parameter of ", parameters_[buckets_[bucket].front()].name,
          "'s bucket had a gradient in the first step, and has none now");
  }
  hand_over(buckets_.size());
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || reduced_ == buckets_.size(); });
  if (failure_) {
    std::rethrow_exception(failure_);
  }
  in_step_ = false;
}

void GradientBuckets::hand_over(std::size_t buckets) {
  if (buckets == handed_over_) {
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    handed_over_ = asked_ = buckets;
  }
  changed_.notify_all();
}

void GradientBuckets::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || reduced_ < asked_; });
    if (stopping_) {
      return;
    }
    const std::size_t bucket = reduced_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      reduce(bucket);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    ++reduced_;
    if (failure) {  // there is no next step
      failure_ = failure;
      changed_.notify_all();
      return;
    }
    changed_.notify_all();
  }
}

void GradientBuckets::reduce(std::size_t bucket) {
  std::vector<Tensor> gradients;
  for (const std::size_t parameter : buckets_[bucket]) {
    gradients.push_back(parameters_[parameter].variable.grad());
  }
  ranks_->all_reduce(gradients, how_);
}

}  // namespace earmark::train
