// Names what the program is doing, for a profiler: nsys shows the ranges of a run as bars above its kernels. A build
// without CUDA has none of it.
#pragma once

namespace earmark {

/// A named stretch of this thread's work, from construction to destruction. Ranges nest.
class TraceRange {
 public:
  /// `name` is copied.
  explicit TraceRange(const char* name);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

}  // namespace earmark
