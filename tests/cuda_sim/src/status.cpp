#include "status.h"

#include <algorithm>
#include <array>

#include "cudasim/control.h"

namespace cudasim {
namespace {

thread_local cudaError_t last = cudaSuccess;
thread_local HostWaits waits;
cudaError_t sticky = cudaSuccess;

struct ErrorText {
  cudaError_t status;
  const char* name;
  const char* text;
};

constexpr std::array kTexts{
    ErrorText{cudaSuccess, "cudaSuccess", "no error"},
    ErrorText{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    ErrorText{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    ErrorText{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    ErrorText{cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
              "CUDA driver version is insufficient for CUDA runtime version"},
    ErrorText{cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    ErrorText{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    ErrorText{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    ErrorText{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    ErrorText{cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    ErrorText{cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    ErrorText{cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
              "operation not permitted when stream is capturing"},
    ErrorText{cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
              "operation failed due to a previous error during capture"},
    ErrorText{cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
              "operation would make the legacy stream depend on a capturing blocking stream"},
    ErrorText{cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
              "attempt to terminate a thread-local capture sequence from another thread"},
    ErrorText{cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
              "too many resources requested for launch"},
    ErrorText{cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    ErrorText{cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};

const ErrorText* text_of(cudaError_t status) {
  const auto* const at =
      std::find_if(kTexts.begin(), kTexts.end(), [&](const ErrorText& t) { return t.status == status; });
  return at == kTexts.end() ? nullptr : at;
}

cudaError_t driver_status() {
  switch (config().driver) {
    case Driver::present:
      return cudaSuccess;
    case Driver::without_device:
      return cudaErrorNoDevice;
    default:
      return cudaErrorInsufficientDriver;
  }
}

}  // namespace

HostWaits host_waits() { return waits; }

void note_wait(std::size_t HostWaits::*kind) { ++(waits.*kind); }

cudaError_t noted(cudaError_t status) {
  if (status != cudaSuccess) {
    last = status;
  }
  return status;
}

cudaError_t device_status() {
  const cudaError_t driver = driver_status();
  return noted(driver != cudaSuccess ? driver : sticky);
}

void fail_device(cudaError_t status) { sticky = status; }

bool device_has_failed() { return sticky != cudaSuccess; }

void forget_errors() {
  sticky = cudaSuccess;
  last = cudaSuccess;
}

}  // namespace cudasim

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t status = cudasim::last;
  cudasim::last = cudasim::sticky;
  return status;
}

const char* cudaGetErrorString(cudaError_t status) {
  const auto* const text = cudasim::text_of(status);
  return text == nullptr ? "unrecognized error code" : text->text;
}

const char* cudaGetErrorName(cudaError_t status) {
  const auto* const text = cudasim::text_of(status);
  return text == nullptr ? "cudaErrorUnknown" : text->name;
}

}  // extern "C"
