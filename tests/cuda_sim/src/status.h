// The runtime's error state: what cudaGetLastError gives, and the error that a failed kernel leaves behind for good.
#pragma once

#include <cuda_runtime_api.h>

namespace cudasim {

/// Remembers an error for cudaGetLastError of this OS thread; hands it back.
cudaError_t noted(cudaError_t status);

/// What every call gives that needs a GPU: the driver's absence, then the sticky error, then success.
cudaError_t device_status();

/// From now on the device refuses everything, as a GPU does after a kernel failed.
void fail_device(cudaError_t status);
void forget_errors();

}  // namespace cudasim
