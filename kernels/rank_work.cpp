#include "kernels/rank_work.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "kernels/error.h"

namespace earmark {

namespace {

constexpr std::chrono::milliseconds kPulse{200};

/// Tells the others, again and again, how far this rank is, and listens to them.
class Pulse {
 public:
  explicit Pulse(Communicator& ranks) : ranks_(ranks), thread_([this] { beat(); }) {}
  ~Pulse() { end(false); }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  /// Waits until every rank has ended, or one has failed.
  void end(bool well) {
    {
      const std::scoped_lock lock(mutex_);
      ended_ = true;
      well_ = well_ || well;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  void check_meanwhile() const {
    if (over_) {  // before this rank's work is: something went wrong
      check_others();
    }
  }
  void check_others() const {
    if (lost_) {
      std::rethrow_exception(lost_);
    }
    check(!other_failed_, "another rank has failed: it says why");
  }

 private:
  void beat() {
    listen();
    over_ = true;
  }
  void listen() {
    try {
      while (true) {
        std::array<double, 2> state{};  // how many have ended well, how many have failed
        {
          std::unique_lock lock(mutex_);
          changed_.wait_for(lock, kPulse, [this] { return ended_; });
          state = {ended_ && well_ ? 1.0 : 0.0, ended_ && !well_ ? 1.0 : 0.0};
        }
        add_up(ranks_, state);
        other_failed_ = state[1] > 0;
        if (other_failed_ || state[0] == ranks_.size()) {
          return;
        }
      }
    } catch (...) {
      lost_ = std::current_exception();
    }
  }

  Communicator& ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  bool well_ = false;
  bool other_failed_ = false;  // these two: read when the thread has done with them
  std::exception_ptr lost_;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

}  // namespace

void work_beside_ranks(Communicator& ranks, const std::function<void()>& work) {
  work_beside_ranks(ranks, [&work](const CheckRanks& /*check_ranks*/) { work(); });
}

void work_beside_ranks(Communicator& ranks, const std::function<void(const CheckRanks& check_ranks)>& work) {
  if (ranks.size() == 1) {
    return work([] {});
  }
  Pulse pulse(ranks);
  work([&pulse] { pulse.check_meanwhile(); });  // what it throws ends the pulse as failed
  pulse.end(true);
  pulse.check_others();
}

}  // namespace earmark
