// cuBLAS: one handle per thread and GPU, set to the current stream. Products of floats are exact products added in
// float (no TF32), so that a GPU errs no more than the CPU does.
#pragma once

#include <cublas_v2.h>

#include "kernels/cuda/status.h"
#include "kernels/error.h"

namespace earmark::kernels::cuda {

/// Ready for calls on the current stream of the current GPU; not to be kept.
cublasHandle_t blas();

/// Throws Error naming `what` unless `status` is success.
inline void check_status(cublasStatus_t status, const char* what, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]] {
    throw_library_error(str(what, ": ", cublasGetStatusString(status)), file, line);
  }
}

}  // namespace earmark::kernels::cuda

#define CUBLAS_CHECK(call) ::earmark::kernels::cuda::check_status((call), #call)
