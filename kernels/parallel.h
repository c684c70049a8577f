// A small thread pool for the CPU kernels. Tasks are numbered and their boundaries depend on the problem only, never on
// the thread count: a reduction that sums one partial per task, in task order, gives the same bits on any machine.
// Workers watch for the next job for some ten microseconds, as the kernels of a training step follow one another, and
// then sleep: an idle program costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace earmark {

/// Threads that parallel_for uses, the caller included. Default: EARMARK_THREADS, else the processors that this process
/// may use (its affinity mask and its control group's quota).
int num_threads();
/// Throws Error on a count below 1, and inside a task.
void set_num_threads(int count);

/// A callable of one task number that lives elsewhere: no copy, no allocation.
class TaskRef {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, TaskRef>)
      // NOLINTNEXTLINE(google-explicit-constructor): implicit, so that parallel_for takes a lambda.
      TaskRef(const F& task)
      : task_(std::addressof(task)), call_([](const void* f, std::int64_t i) { (*static_cast<const F*>(f))(i); }) {}
  void operator()(std::int64_t i) const { call_(task_, i); }

 private:
  const void* task_;
  void (*call_)(const void*, std::int64_t);
};

/// Calls task(i) for each i in [0, count), on the pool; returns when all are done and rethrows the first exception.
/// Inside a task, on a thread with a SerialScope, and while another thread's parallel_for has the pool, it runs inline.
void parallel_for(std::int64_t count, TaskRef task);

/// Throws Error unless grain is positive.
void check_grain(std::int64_t grain);

/// Splits [0, count) into ranges of `grain` and calls task(begin, end) for each.
template <class F>
void parallel_ranges(std::int64_t count, std::int64_t grain, const F& task) {
  check_grain(grain);
  parallel_for((count + grain - 1) / grain, [&](std::int64_t i) { task(i * grain, std::min(count, (i + 1) * grain)); });
}

/// Items per task, at most `most`, so that all threads get as many, as far as that goes. For work whose results do not
/// depend on how it is split: this does depend on the thread count.
std::int64_t even_grain(std::int64_t count, std::int64_t most);

/// While alive, parallel_for runs inline on this thread: for workers that are themselves one of many.
class SerialScope {
 public:
  SerialScope();
  ~SerialScope();
  SerialScope(const SerialScope&) = delete;
  SerialScope& operator=(const SerialScope&) = delete;

 private:
  bool before_;
};

}  // namespace earmark
