#include "kernels/rank_work.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "kernels/life_signs.h"

namespace earmark {

namespace {

constexpr std::chrono::milliseconds kPulse{200};
constexpr double kEnded = -1;  // instead of signs of life

/// What a rank says at each beat, and, added up, what all say.
class Beat {
 public:
  explicit Beat(int size) : numbers_(2 + 2 * static_cast<std::size_t>(size)) {}
  double& well() { return numbers_[0]; }                                                 // how many have ended well
  double& failed() { return numbers_[1]; }                                               // how many have failed
  double& signs(int rank) { return numbers_[2 + 2 * static_cast<std::size_t>(rank)]; }   // of life, by rank
  double& doubts(int rank) { return numbers_[3 + 2 * static_cast<std::size_t>(rank)]; }  // how many give it up
  std::span<double> numbers() { return numbers_; }

 private:
  std::vector<double> numbers_;
};

/// Tells the others, again and again, how far this rank is, and listens to them.
class Pulse {
 public:
  explicit Pulse(Communicator& ranks)
      : ranks_(ranks), watch_(ranks.size(), ranks.timeout()), thread_([this] { beat(); }) {}
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
      while (!over(exchanged())) {
      }
    } catch (...) {
      lost_ = std::current_exception();
    }
  }
  /// What all say, once this rank has said it.
  Beat exchanged() {
    Beat said(ranks_.size());
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kPulse, [this] { return ended_; });
      said.well() = ended_ && well_ ? 1 : 0;
      said.failed() = ended_ && !well_ ? 1 : 0;
      said.signs(ranks_.rank()) = ended_ ? kEnded : static_cast<double>(signs_of_life());
    }
    const int silent = watch_.silent();
    if (silent >= 0) {
      said.doubts(silent) = 1;
    }
    add_up(ranks_, said.numbers());
    return said;
  }
  /// Throws Error, at all ranks together, where one is silent: whoever has noticed it first has told the others.
  bool over(Beat said) {
    for (int rank = 0; rank < ranks_.size(); ++rank) {
      check(said.doubts(rank) == 0, watch_.sentence(rank));
      if (said.signs(rank) == kEnded) {
        watch_.excuse(rank);
      } else {
        watch_.see(rank, static_cast<std::uint64_t>(said.signs(rank)));
      }
    }
    other_failed_ = said.failed() > 0;
    return other_failed_ || said.well() == ranks_.size();
  }

  Communicator& ranks_;
  LifeWatch watch_;
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
