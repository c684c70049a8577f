// Work on many items ahead, taken in order: threads prepare items 0, 1, 2, ... and the caller takes the results in that
// order, so that nothing depends on the number of threads. Never more than `window` items are in memory.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/parallel.h"

namespace earmark::search {

template <class T>
class Pipeline {
 public:
  /// `work(i)` makes item i of `count`; it is called on num_threads() threads and must outlive the pipeline.
  Pipeline(std::size_t count, std::size_t window, std::function<T(std::size_t)> work)
      : count_(count), window_(std::max<std::size_t>(1, window)), work_(std::move(work)) {
    const auto threads = std::min(count, static_cast<std::size_t>(num_threads()));
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this, threads] { loop(threads); });
    }
  }
  ~Pipeline() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// The next item; rethrows what its work threw. To be called at most `count` times.
  T take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_.contains(taken_); });
    Result result = std::move(done_.extract(taken_++).mapped());
    lock.unlock();
    changed_.notify_all();
    if (result.error) {
      std::rethrow_exception(result.error);
    }
    return std::move(*result.item);
  }

 private:
  struct Result {
    std::optional<T> item;
    std::exception_ptr error;
  };

  void loop(std::size_t threads) {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || next_ >= count_ || next_ < taken_ + window_; });
      if (stopping_ || next_ >= count_) {
        return;
      }
      const std::size_t mine = next_++;
      lock.unlock();
      Result result = run(mine, count_ - mine >= threads);
      lock.lock();
      done_.emplace(mine, std::move(result));
      changed_.notify_all();
    }
  }
  /// With an item for every thread each stays on its own; for the last ones the kernels use the thread pool.
  Result run(std::size_t index, bool alone) {
    std::optional<SerialScope> serial;
    if (alone) {
      serial.emplace();
    }
    try {
      return {work_(index), nullptr};
    } catch (...) {
      return {std::nullopt, std::current_exception()};
    }
  }

  std::size_t count_;
  std::size_t window_;
  std::function<T(std::size_t)> work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, Result> done_;
  std::size_t next_ = 0;
  std::size_t taken_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace earmark::search
