#include "kernels/parallel.h"

#include <sched.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/life_signs.h"
#include "kernels/watch.h"

namespace earmark {
namespace {

thread_local bool serial = false;

/// Processors that the control group's quota amounts to, rounded up; 0: no quota.
int processors_in_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::int64_t quota = 0;
  std::int64_t period = 0;
  return file >> quota >> period && quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

int processors_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int masked = sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
  const int quota = processors_in_quota();
  return quota > 0 ? std::min(masked, quota) : masked;
}

int default_threads() {
  const char* text = std::getenv("EARMARK_THREADS");
  if (text == nullptr) {
    return processors_allowed();
  }
  const std::string_view digits = text;
  int count = 0;
  const auto parsed = std::from_chars(digits.begin(), digits.end(), count);
  check(parsed.ec == std::errc() && parsed.ptr == digits.end() && count >= 1,
        "EARMARK_THREADS: expected a positive number, got '", text, "'");
  return count;
}

/// One parallel_for: tasks are claimed by number until none is left.
class Job {
 public:
  Job(std::int64_t count, TaskRef task) : count_(count), task_(task) {}

  void work() {
    std::int64_t mine = 0;
    for (std::int64_t i = next_++; i < count_; i = next_++) {
      try {
        task_(i);
      } catch (...) {
        const std::scoped_lock lock(mutex_);
        if (!error_) {
          error_ = std::current_exception();
        }
      }
      show_life();
      ++mine;
    }
    if (mine > 0 && finished_.fetch_add(mine) + mine == count_) {
      const std::scoped_lock lock(mutex_);
      done_.notify_all();
    }
  }

  void wait() {
    const auto complete = [this] { return finished_.load() == count_; };
    watch(complete);
    std::unique_lock lock(mutex_);
    done_.wait(lock, complete);
    if (error_) {
      std::rethrow_exception(std::exchange(error_, nullptr));
    }
  }

 private:
  const std::int64_t count_;
  const TaskRef task_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> finished_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
  std::condition_variable done_;
};

class Pool {
 public:
  explicit Pool(int workers) {
    try {
      for (int i = 0; i < workers; ++i) {
        threads_.emplace_back([this] { loop(); });
      }
    } catch (const std::system_error&) {  // no more threads to be had: fewer give the same results
    }
  }
  ~Pool() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
      ++generation_;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) {
      t.join();
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void run(const std::shared_ptr<Job>& job) {
    bool anyone_asleep = false;
    {
      const std::scoped_lock lock(mutex_);
      job_ = job;
      ++generation_;
      anyone_asleep = sleepers_ > 0;
    }
    if (anyone_asleep) {
      wake_.notify_all();
    }
    {
      const SerialScope inside;
      job->work();
    }
    job->wait();
  }

 private:
  void loop() {
    serial = true;
    std::uint64_t seen = 0;
    while (const std::shared_ptr<Job> job = next_job(seen)) {
      job->work();
    }
  }

  /// The job after generation `seen`, which becomes its own; none when the pool stops.
  std::shared_ptr<Job> next_job(std::uint64_t& seen) {
    watch([&] { return generation_.load() != seen; });
    std::unique_lock lock(mutex_);
    ++sleepers_;
    wake_.wait(lock, [&] { return generation_.load() != seen; });
    --sleepers_;
    seen = generation_.load();
    return stopping_ ? nullptr : job_;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<Job> job_;
  std::atomic<std::uint64_t> generation_{0};  // written under the mutex, watched without it
  int sleepers_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

struct State {
  std::atomic<int> threads = default_threads();
  std::mutex turn;  // held by whoever uses or replaces the pool
  std::unique_ptr<Pool> pool;
};

State& state() {
  static State instance;
  return instance;
}

void run_inline(std::int64_t count, TaskRef task) {
  for (std::int64_t i = 0; i < count; ++i) {
    task(i);
  }
}

}  // namespace

int num_threads() { return state().threads; }

void set_num_threads(int count) {
  check(count >= 1, "threads: expected a positive number, got ", count);
  check(!serial, "threads: their number cannot change inside a parallel task");
  State& s = state();
  const std::scoped_lock lock(s.turn);
  if (count != s.threads) {
    s.pool.reset();
    s.threads = count;
  }
}

void parallel_for(std::int64_t count, TaskRef task) {
  show_life();
  if (count <= 1 || serial) {
    return run_inline(count, task);
  }
  State& s = state();
  const std::unique_lock lock(s.turn, std::try_to_lock);
  if (!lock.owns_lock() || s.threads == 1) {
    return run_inline(count, task);
  }
  if (!s.pool) {
    s.pool = std::make_unique<Pool>(s.threads - 1);
  }
  s.pool->run(std::make_shared<Job>(count, task));
}

std::int64_t even_grain(std::int64_t count, std::int64_t most) {
  check_grain(most);
  const std::int64_t threads = num_threads();
  const std::int64_t rounds = std::max<std::int64_t>(1, (count + threads * most - 1) / (threads * most));
  return std::max<std::int64_t>(1, (count + threads * rounds - 1) / (threads * rounds));
}

void check_grain(std::int64_t grain) { check(grain > 0, "parallel_ranges: grain must be positive, got ", grain); }

SerialScope::SerialScope() : before_(serial) { serial = true; }
SerialScope::~SerialScope() { serial = before_; }

}  // namespace earmark
