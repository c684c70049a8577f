#include "kernels/trace.h"

#include "kernels/cuda/trace.h"
#include "kernels/dispatch.h"

namespace earmark {

TraceRange::TraceRange([[maybe_unused]] const char* name) {
  if constexpr (kBuiltWithCuda) {
    kernels::cuda::trace_begin(name);
  }
}

TraceRange::~TraceRange() {
  if constexpr (kBuiltWithCuda) {
    kernels::cuda::trace_end();
  }
}

}  // namespace earmark
