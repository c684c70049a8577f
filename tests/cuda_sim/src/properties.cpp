// What programs ask a GPU about itself.
#include <cuda_runtime_api.h>

#include <cstdio>

#include "config.h"
#include "devices.h"

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (!cudasim::is_device(device)) {
    return cudaErrorInvalidDevice;
  }
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simulated");
  properties->uuid.bytes[0] = 's';
  properties->uuid.bytes[1] = static_cast<char>(1 + cudasim::gpu_of_machine(device));
  return cudaSuccess;
}
// The pool keeps nothing: what is freed is free.
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  *static_cast<unsigned long long*>(value) = 0;
  return cudaSuccess;
}
