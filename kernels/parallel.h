// A small thread pool for the CPU kernels. Tasks are numbered and their boundaries depend on the problem only, never on
// the thread count: a reduction that sums one partial per task, in task order, gives the same bits on any machine.
#pragma once

#include <cstdint>
#include <functional>

namespace earmark {

/// Threads that parallel_for uses, the caller included. Default: EARMARK_THREADS, else the processors this process may
/// use.
int num_threads();
void set_num_threads(int count);

/// Calls task(i) for each i in [0, count), on the pool; returns when all are done and rethrows the first exception.
/// Inside a task, or on a thread with a SerialScope, it runs inline.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& task);

/// Splits [0, count) into ranges of `grain` and calls task(begin, end) for each.
void parallel_ranges(std::int64_t count, std::int64_t grain,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& task);

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
