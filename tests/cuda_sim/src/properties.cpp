// What programs ask a GPU about itself.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "devices.h"

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!cudasim::is_device(device)) {
    return cudaErrorInvalidDevice;
  }
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simulated");
  return cudaSuccess;
}
// The pool keeps nothing: what is freed is free.
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  *static_cast<unsigned long long*>(value) = 0;
  return cudaSuccess;
}
