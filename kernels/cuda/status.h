// CUDA's status codes as earmark::Error: every call to the runtime stands in CUDA_CHECK(...).
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "kernels/cuda/launch_log.h"
#include "kernels/device_failure.h"

namespace earmark::kernels::cuda {

/// Whether a kernel has failed while it ran. From then on every call gives this, until the program ends.
inline bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
      return true;
    default:
      return false;
  }
}

/// Throws Error naming `what` and the driver's words unless `status` is success. An error that a kernel left behind
/// comes out of whichever call is next: that is a DeviceFailure, and the message says which kernels may have failed.
inline void check_status(cudaError_t status, const char* what, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
  if (status != cudaSuccess) [[unlikely]] {
    static_cast<void>(cudaGetLastError());  // so that the next call does not report it again
    const std::string sentence = str(what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
    if (is_sticky(status)) {
      throw DeviceFailure({file, line}, sentence + suspects());
    }
    throw_error({file, line}, sentence);
  }
}

/// Throws what a library says. It says little where a kernel failed before the call: then DeviceFailure tells of that.
[[noreturn]] inline void throw_library_error(const std::string& sentence, const char* file = __builtin_FILE(),
                                             int line = __builtin_LINE()) {
  const cudaError_t status = cudaGetLastError();
  if (is_sticky(status)) {
    check_status(status, sentence.c_str(), file, line);
  }
  throw_error({file, line}, sentence);
}

}  // namespace earmark::kernels::cuda

#define CUDA_CHECK(call) ::earmark::kernels::cuda::check_status((call), #call)
