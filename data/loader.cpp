#include "data/loader.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/trace.h"

namespace earmark::data {

namespace {

constexpr int kStepsBack = 10;  // of niceness: a tenth of what an equal would get

/// From now on this thread computes mostly while the others of its processor wait: what it makes is wanted a step
/// later, whereas a step that is interrupted keeps the other threads and processes waiting which work on it too.
void step_back() {
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  errno = 0;
  const int niceness = ::getpriority(PRIO_PROCESS, thread);
  if (errno == 0) {
    ::setpriority(PRIO_PROCESS, thread, niceness + kStepsBack);  // where that is refused, all stays as it was
  }
}

}  // namespace

/// Workers claim steps in order; finished batches wait in a map until their turn.
class Loader::Impl {
 public:
  Impl(std::function<Batch(std::int64_t)> make, std::int64_t first_step, int workers, int ahead, Device device)
      : make_(std::move(make)), device_(device), next_out_(first_step), next_claim_(first_step), ahead_(ahead) {
    check(workers >= 0 && ahead >= 1, "loader: ", workers, " workers, ", ahead, " batches ahead");
    for (int i = 0; i < workers; ++i) {
      workers_.emplace_back([this] { work(); });
    }
  }

  ~Impl() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) {
      worker.join();
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Batch next() {
    const auto start = std::chrono::steady_clock::now();
    if (workers_.empty()) {
      const TraceRange range("make batch");
      Batch batch = make_(next_out_);
      ++next_out_;
      waited_ += seconds_since(start);
      return batch;
    }
    std::unique_lock lock(mutex_);
    ready_changed_.wait(lock, [this] { return ready_.contains(next_out_); });
    waited_ += seconds_since(start);
    Result& result = ready_.at(next_out_);
    if (std::holds_alternative<std::exception_ptr>(result)) {
      std::rethrow_exception(std::get<std::exception_ptr>(result));  // stays: the step fails again when asked again
    }
    Batch batch = std::get<Batch>(std::move(result));
    ready_.erase(next_out_++);
    lock.unlock();
    room_.notify_one();
    return batch;
  }

  double waited_seconds() const { return waited_; }

 private:
  using Result = std::variant<Batch, std::exception_ptr>;

  static double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void work() {
    const SerialScope serial;  // one of several workers: kernels inside do not start more threads
    step_back();
    std::shared_ptr<void> stream;
    while (true) {
      std::int64_t step = 0;
      {
        std::unique_lock lock(mutex_);
        room_.wait(lock, [this] { return stopping_ || next_claim_ < next_out_ + ahead_; });
        if (stopping_) {
          return;
        }
        step = next_claim_++;
      }
      Result result = make(step, stream);
      {
        const std::scoped_lock lock(mutex_);
        ready_.emplace(step, std::move(result));
      }
      ready_changed_.notify_one();
    }
  }

  // `stream` is the worker's own on a GPU, from its first batch on.
  Result make(std::int64_t step, std::shared_ptr<void>& stream) const {
    const TraceRange range("make batch");
    try {
      if constexpr (kBuiltWithCuda) {
        if (device_.backend == Backend::cuda) {
          stream = stream ? stream : kernels::cuda::own_stream(device_.index);
          Batch batch = make_(step);
          kernels::cuda::synchronize_stream();
          return batch;
        }
      }
      return make_(step);
    } catch (...) {
      return std::current_exception();
    }
  }

  std::function<Batch(std::int64_t)> make_;
  Device device_;
  std::mutex mutex_;
  std::condition_variable ready_changed_;
  std::condition_variable room_;
  std::map<std::int64_t, Result> ready_;
  std::int64_t next_out_;
  std::int64_t next_claim_;
  std::int64_t ahead_;
  bool stopping_ = false;
  double waited_ = 0;
  std::vector<std::thread> workers_;
};

Loader::Loader(std::shared_ptr<const PairSampler> sampler, std::int64_t first_step, int workers, int ahead,
               Device device)
    : Loader([sampler = std::move(sampler), device](std::int64_t step) { return sampler->batch(step, device); },
             first_step, workers, ahead, device) {}
Loader::Loader(std::function<Batch(std::int64_t)> make, std::int64_t first_step, int workers, int ahead, Device device)
    : impl_(std::make_unique<Impl>(std::move(make), first_step, workers, ahead, device)) {}
Loader::~Loader() = default;

Batch Loader::next() { return impl_->next(); }
double Loader::waited_seconds() const { return impl_->waited_seconds(); }

}  // namespace earmark::data
