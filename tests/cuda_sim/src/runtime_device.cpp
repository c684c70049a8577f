// The runtime's functions for devices, streams, events and launches, as the toolkit's headers declare them.
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "block.h"
#include "capture.h"
#include "config.h"
#include "cudasim/control.h"
#include "devices.h"
#include "shared_memory.h"
#include "status.h"
#include "streams.h"
#include "symbols.h"

namespace cudasim {
namespace {

bool is_launchable(const cudaLaunchConfig_t& c) {
  const dim3& g = c.gridDim;
  const dim3& b = c.blockDim;
  const std::uint64_t threads = static_cast<std::uint64_t>(b.x) * b.y * b.z;
  const bool grid = g.x > 0 && g.x <= 0x7fffffffU && g.y > 0 && g.y <= 65535 && g.z > 0 && g.z <= 65535;
  return grid && threads > 0 && threads <= kMostThreads && b.z <= 64;
}

/// CUDA_LAUNCH_BLOCKING=1: the host waits for every kernel.
bool launches_block() {
  static const bool block = [] {
    const char* const value = std::getenv("CUDA_LAUNCH_BLOCKING");
    return value != nullptr && std::strcmp(value, "1") == 0;
  }();
  return block;
}

/// Dynamic shared memory that a kernel may have: 48 KiB, more where cudaFuncSetAttribute asked for it.
std::size_t& allowed_shared_memory(const void* kernel) {
  static std::map<const void*, std::size_t> allowed;
  return allowed.try_emplace(kernel, std::size_t{48} << 10U).first->second;
}

}  // namespace

cudaError_t enqueue_kernel(const cudaLaunchConfig_t& config, KernelCall call) {
  if (!is_launchable(config)) {
    return noted(cudaErrorInvalidConfiguration);
  }
  const Lock lock(runtime_mutex());
  if (device_of(config.stream) != current_device) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (config.dynamicSmemBytes > allowed_shared_memory(call.kernel)) {
    return noted(cudaErrorInvalidValue);
  }
  const std::optional<LaunchFailure> failure = next_launch_failure(kernel_name(call.kernel).text);
  if (failure == LaunchFailure::refused) {
    return noted(cudaErrorLaunchOutOfResources);
  }
  cudaError_t status = cudaSuccess;
  if (failure == LaunchFailure::faulting) {
    status = enqueue(config.stream, kernel_name(call.kernel).text, [] { fail_device(cudaErrorIllegalAddress); });
  } else {
    status = enqueue(
        config.stream, kernel_name(call.kernel).text,
        [call = std::move(call), grid = config.gridDim, threads = config.blockDim, shared = config.dynamicSmemBytes] {
          if (!run_launch({call, grid, threads, shared, running_work, running_device()})) {
            fail_device(cudaErrorLaunchFailure);
          }
        });
  }
  return status == cudaSuccess && launches_block() && !is_recorded(config.stream) ? finish_stream(config.stream)
                                                                                  : status;
}

}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  const cudaError_t status = device_status();
  const bool without = config().driver != Driver::present;
  *count = without ? 0 : config().devices;
  return without ? status : cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return device_status();
}

cudaError_t cudaSetDevice(int device) {
  if (is_device(device)) {
    current_device = device;
    return device_status();
  }
  const cudaError_t status = device_status();
  return status != cudaSuccess ? status : noted(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kMostSharedMemory);
      break;
    default:
      *value = 0;
      return noted(cudaErrorInvalidValue);
  }
  return is_device(device) ? device_status() : noted(cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceSynchronize() {
  note_wait(&HostWaits::device);
  return finish_device(current_device);
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      value > static_cast<int>(kMostSharedMemory)) {
    return noted(cudaErrorInvalidValue);
  }
  const Lock lock(runtime_mutex());
  allowed_shared_memory(kernel) = static_cast<std::size_t>(value);
  return device_status();
}

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  const Lock lock(runtime_mutex());
  *name = kernel_name(kernel).mangled.c_str();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) { return create_stream(stream, flags); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroy_stream(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  note_wait(&HostWaits::streams);
  return finish_stream(stream);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  return wait_for_event(stream, event);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) { return create_event(event, flags); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy_event(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return record_event(event, stream); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  note_wait(&HostWaits::events);
  return finish_event(event);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return query_event(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  return time_between_events(milliseconds, first, last);
}

}  // extern "C"
