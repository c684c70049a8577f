#include "kernels/cuda/properties.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"

namespace earmark::kernels::cuda {

std::string device_name(int index) {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  return properties.name;
}

std::array<std::uint8_t, 16> device_identity(int index) {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  std::array<std::uint8_t, 16> identity{};
  static_assert(sizeof properties.uuid.bytes == identity.size());
  std::memcpy(identity.data(), properties.uuid.bytes, identity.size());
  return identity;
}

std::size_t free_bytes(int index) {
  make_current(index);
  std::size_t free = 0;
  std::size_t total = 0;
  cudaMemPool_t pool = nullptr;
  std::uint64_t reserved = 0;
  std::uint64_t used = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, index));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  return free + static_cast<std::size_t>(reserved - std::min(reserved, used));
}

}  // namespace earmark::kernels::cuda
