// Watches ranks whose GPUs work together, where a call returns before anything is done: nobody notices by calling that
// another rank has died, hangs, or that what was asked for never ends.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "kernels/communicator.h"

namespace earmark {

/// A thread that exchanges with those of the other ranks, five times a second, that they are alive and how many calls
/// they have made.
class RankWatch {
 public:
  /// All ranks make one together; `ranks` is for it alone. `problem` says what is wrong with what was asked for, or
  /// nothing. `stop` lets go of all that waits for others on this rank's GPU; the watch's thread calls it, once, where
  /// a rank has gone, is silent, has made no call for the communicator's time although others have, or where this rank
  /// waits for longer than that for what it has called.
  RankWatch(std::shared_ptr<Communicator> ranks, std::function<std::string()> problem, std::function<void()> stop);
  /// Waits until every rank has come to its own, or one has failed; where something was thrown, this one has.
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// This rank has made a call that others make too.
  void count_call() { ++calls_; }
  /// Does `wait`, which waits for what was called. Throws Error where a rank has failed.
  void wait(const std::function<void()>& wait);
  /// Throws Error where a rank has failed: what went wrong first.
  void check_ranks();
  /// The same once the ranks have been asked anew: for a caller who has met an error that may come from another's.
  void ask_ranks();
  /// This rank will not go on: all are let go of.
  void give_up();

 private:
  using Clock = std::chrono::steady_clock;
  /// What is known of a rank: its calls, and since when others have made more.
  struct Known {
    std::int64_t calls = 0;
    Clock::time_point since;
  };

  void watch();
  bool beat();
  void check_wait();
  void check_calls(const Tensor& all);
  void fail_with(std::exception_ptr why);

  std::shared_ptr<Communicator> ranks_;
  std::function<std::string()> problem_;
  std::function<void()> stop_;
  std::vector<Known> known_;  // by rank; the thread's own
  std::atomic<std::int64_t> calls_{0};
  int exceptions_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  bool end_told_ = false;
  bool given_up_ = false;
  bool over_ = false;  // the thread has ended
  std::int64_t asked_ = 0;
  std::int64_t answered_ = 0;
  std::optional<Clock::time_point> waiting_since_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace earmark
