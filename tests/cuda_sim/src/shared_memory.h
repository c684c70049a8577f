// Dynamic shared memory: the array that kernels declare as `extern __shared__ unsigned char NAME[]`. The build says
// what it is called (CUDASIM_DYNAMIC_SHARED).
#pragma once

#include <cstddef>

namespace cudasim {
inline constexpr std::size_t kMostSharedMemory = std::size_t{227} << 10U;  ///< Of a block, on an H100.
}

extern constinit thread_local unsigned char CUDASIM_DYNAMIC_SHARED[cudasim::kMostSharedMemory];

namespace cudasim {
inline unsigned char* dynamic_shared() { return CUDASIM_DYNAMIC_SHARED; }
}  // namespace cudasim
