// The runtime's error state: what cudaGetLastError gives, and the error that a failed kernel leaves behind for good.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cudasim/control.h"

namespace cudasim {

/// Remembers an error for cudaGetLastError of this OS thread; hands it back.
cudaError_t noted(cudaError_t status);

/// What every call gives that needs a GPU: the driver's absence, then the sticky error, then success.
cudaError_t device_status();

/// From now on the device refuses everything, as a GPU does after a kernel failed.
void fail_device(cudaError_t status);
bool device_has_failed();
void forget_errors();

/// Counts a wait of the calling thread (host_waits()).
void note_wait(std::size_t HostWaits::*kind);

}  // namespace cudasim
