// Names what the program is doing, for a profiler: nsys shows the ranges of a run as bars above its kernels. A build
// without CUDA has none of it.
#pragma once

#include "kernels/cuda/trace.h"
#include "kernels/dispatch.h"

namespace earmark {

/// A named stretch of this thread's work, from construction to destruction. Ranges nest.
class TraceRange {
 public:
  /// `name` is copied.
  explicit TraceRange([[maybe_unused]] const char* name) {
    if constexpr (kBuiltWithCuda) {
      kernels::cuda::trace_begin(name);
    }
  }
  ~TraceRange() {
    if constexpr (kBuiltWithCuda) {
      kernels::cuda::trace_end();
    }
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

}  // namespace earmark
