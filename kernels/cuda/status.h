// CUDA's status codes as earmark::Error: every call to the runtime stands in CUDA_CHECK(...).
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/error.h"

namespace earmark::kernels::cuda {

/// Throws Error naming `what` and the driver's words unless `status` is success. An error that a launch left behind
/// comes out of whichever call is next: the message says what was called, not always what went wrong.
inline void check_status(cudaError_t status, const char* what, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  if (status != cudaSuccess) [[unlikely]] {
    static_cast<void>(cudaGetLastError());  // so that the next call does not report it again
    throw_error({file, line}, str(what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
  }
}

}  // namespace earmark::kernels::cuda

#define CUDA_CHECK(call) ::earmark::kernels::cuda::check_status((call), #call)
