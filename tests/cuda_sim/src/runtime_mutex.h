// The one lock of the simulator: one OS thread at a time queues or runs work.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace cudasim {

/// Recursive; and its owner can let go of it altogether, however often it took it, until another thread has done
/// something.
class RuntimeMutex {
 public:
  void lock() {
    if (owner_ != std::this_thread::get_id()) {
      mutex_.lock();
      owner_ = std::this_thread::get_id();
    }
    ++depth_;
  }
  void unlock() {
    if (--depth_ == 0) {
      owner_ = std::thread::id();
      mutex_.unlock();
    }
  }

  /// Lets other threads go on until `done`, or for so long. Whether it is done.
  template <class Done>
  bool wait_for(std::chrono::milliseconds time, Done done) {
    std::unique_lock lock(mutex_, std::adopt_lock);
    const int depth = std::exchange(depth_, 0);
    owner_ = std::thread::id();
    const bool is_done = changed_.wait_for(lock, time, done);
    owner_ = std::this_thread::get_id();
    depth_ = depth;
    lock.release();
    return is_done;
  }
  /// Lets those that wait look again.
  void wake() { changed_.notify_all(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<std::thread::id> owner_;
  int depth_ = 0;
};

RuntimeMutex& runtime_mutex();
using Lock = std::scoped_lock<RuntimeMutex>;

}  // namespace cudasim
