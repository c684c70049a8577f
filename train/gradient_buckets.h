// Gradients of several ranks become their mean or sum while the backward pass still makes others: a thread takes them
// bucket by bucket, in the order in which backward completes them. The first step tells that order; its gradients all
// wait for the end.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "nn/encoder.h"

namespace earmark::train {

class GradientBuckets {
 public:
  static constexpr std::size_t kBucketBytes = std::size_t{4} << 20U;

  /// `ranks` is this object's alone. The parameters' leaf hooks are, too.
  GradientBuckets(std::vector<nn::NamedParameter> parameters, std::shared_ptr<Communicator> ranks,
                  std::size_t bucket_bytes = kBucketBytes, Combine how = Combine::mean);
  /// Where a step was not finished, its ranks do not go on together: they are abandoned.
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// Before backward.
  void begin_step();
  /// While partial, gradients that a backward pass completes are no whole ones: later passes of the step add to them.
  void set_partial(bool partial) { partial_ = partial; }
  /// After it: returns when every gradient is that of all ranks'. Throws Error as the communicator does, and
  /// where other parameters got a gradient than in the first step.
  void finish_step();

  std::size_t buckets() const { return buckets_.size(); }
  /// How many buckets of this step were on their way before finish_step().
  std::size_t early() const { return early_; }

 private:
  void completed(std::size_t parameter);
  void plan();
  void hand_over(std::size_t buckets);
  void work();
  void reduce(std::size_t bucket);

  std::vector<nn::NamedParameter> parameters_;
  std::shared_ptr<Communicator> ranks_;
  std::size_t bucket_bytes_;
  Combine how_;
  std::vector<std::size_t> order_;                 // parameters as the first backward completed them
  std::vector<std::vector<std::size_t>> buckets_;  // of parameters, planned by the first step
  std::vector<std::size_t> bucket_of_;             // by parameter
  std::vector<std::size_t> pending_;               // by bucket, how many gradients are not complete
  std::size_t handed_over_ = 0;                    // buckets, of this step
  std::size_t early_ = 0;
  bool in_step_ = false;
  bool partial_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t asked_ = 0;    // buckets that the thread may take
  std::size_t reduced_ = 0;  // and has
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace earmark::train
