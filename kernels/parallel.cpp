#include "kernels/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/error.h"

namespace earmark {
namespace {

thread_local bool serial = false;

int processors_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

int default_threads() {
  const char* text = std::getenv("EARMARK_THREADS");
  if (text == nullptr) {
    return processors_allowed();
  }
  const int count = std::atoi(text);
  check(count >= 1, "EARMARK_THREADS: expected a positive number, got '", text, "'");
  return count;
}

/// One parallel_for: tasks are claimed by number until none is left.
struct Job {
  std::int64_t count;
  const std::function<void(std::int64_t)>& task;
  std::atomic<std::int64_t> next{0};
  std::atomic<std::int64_t> finished{0};
  std::mutex mutex;
  std::exception_ptr error;
  std::condition_variable done;

  Job(std::int64_t n, const std::function<void(std::int64_t)>& f) : count(n), task(f) {}

  void work() {
    std::int64_t mine = 0;
    for (std::int64_t i = next++; i < count; i = next++) {
      try {
        task(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (!error) {
          error = std::current_exception();
        }
      }
      ++mine;
    }
    if (mine > 0 && finished.fetch_add(mine) + mine == count) {
      const std::scoped_lock lock(mutex);
      done.notify_all();
    }
  }

  void wait() {
    constexpr int kSpins = 2000;  // a few microseconds: most kernels' tasks end together
    for (int i = 0; i < kSpins && finished.load() < count; ++i) {
      __builtin_ia32_pause();
    }
    std::unique_lock lock(mutex);
    done.wait(lock, [this] { return finished.load() == count; });
    if (error) {
      std::rethrow_exception(error);
    }
  }
};

class Pool {
 public:
  explicit Pool(int workers) {
    for (int i = 0; i < workers; ++i) {
      threads_.emplace_back([this] { loop(); });
    }
  }
  ~Pool() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) {
      t.join();
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void run(const std::shared_ptr<Job>& job) {
    {
      const std::scoped_lock lock(mutex_);
      job_ = job;
      ++generation_;
    }
    wake_.notify_all();
    serial = true;
    job->work();
    serial = false;
    job->wait();
  }

 private:
  void loop() {
    serial = true;
    std::uint64_t seen = 0;
    while (true) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) {
          return;
        }
        seen = generation_;
        job = job_;
      }
      job->work();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<Job> job_;
  std::uint64_t generation_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

struct State {
  std::mutex mutex;
  int threads = default_threads();
  std::unique_ptr<Pool> pool;
};

State& state() {
  static State instance;
  return instance;
}

}  // namespace

int num_threads() {
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  return s.threads;
}

void set_num_threads(int count) {
  check(count >= 1, "threads: expected a positive number, got ", count);
  State& s = state();
  const std::scoped_lock lock(s.mutex);
  if (count != s.threads) {
    s.pool.reset();
    s.threads = count;
  }
}

void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& task) {
  State& s = state();
  std::unique_lock lock(s.mutex, std::defer_lock);
  // Two threads that call at once share the pool in turn; the one that would wait runs inline instead.
  if (count <= 1 || serial || !lock.try_lock() || s.threads == 1) {
    if (lock.owns_lock()) {
      lock.unlock();
    }
    for (std::int64_t i = 0; i < count; ++i) {
      task(i);
    }
    return;
  }
  if (!s.pool) {
    s.pool = std::make_unique<Pool>(s.threads - 1);
  }
  s.pool->run(std::make_shared<Job>(count, task));
}

void parallel_ranges(std::int64_t count, std::int64_t grain,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& task) {
  check(grain > 0, "parallel_ranges: grain must be positive");
  parallel_for((count + grain - 1) / grain, [&](std::int64_t i) { task(i * grain, std::min(count, (i + 1) * grain)); });
}

SerialScope::SerialScope() : before_(serial) { serial = true; }
SerialScope::~SerialScope() { serial = before_; }

}  // namespace earmark
