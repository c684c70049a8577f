// The one way to start a kernel:
//   launch(scale_kernel<float>, over(count, 256), x, y, factor, count);
//   launch(softmax_kernel<float, 128>, {.grid = dim3(rows), .block = dim3(128), .shared = bytes}, x, y, columns);
// It goes to the current stream; a grid or block without threads launches nothing, so empty tensors need no guard of
// their own; an error names the kernel. `<<<>>>` is not used: this is plain C++, which the simulator compiles as well.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/cuda/launch_log.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

extern __shared__ __align__(16) unsigned char earmark_dynamic_shared[];

namespace earmark::kernels::cuda {

struct Grid {
  dim3 grid;
  dim3 block;
  std::size_t shared = 0;  ///< Bytes of dynamic_shared(); at most most_shared_memory().
};

/// Enough blocks for the kernels here to fill any GPU several times over; what is more they reach by striding.
inline constexpr std::int64_t kMostBlocks = 4096;

/// Blocks of `threads` for `count` independent elements, at most kMostBlocks of them: the kernel loops
///   for (i = thread_index(); i < count; i += thread_count())
inline Grid over(std::int64_t count, int threads) {
  const std::int64_t blocks = std::min((count + threads - 1) / threads, kMostBlocks);
  return {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(static_cast<unsigned>(threads))};
}

/// Bytes of dynamic shared memory that a block may have on the current GPU: 227 KiB on an H100, 163 KiB on an A100.
inline std::int64_t most_shared_memory() {
  int bytes = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, current_device()));
  return bytes;
}

/// One block of `threads` for each of `count` rows or tiles, numbered by blockIdx.x. Throws Error beyond 2^31 - 1.
inline Grid blocks(std::int64_t count, int threads, std::size_t shared = 0) {
  check(count <= 0x7fffffff, "a kernel was to run in ", count, " blocks: more than a grid holds");
  return {dim3(static_cast<unsigned>(count)), dim3(static_cast<unsigned>(threads)), shared};
}

__device__ __forceinline__ std::int64_t thread_index() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t thread_count() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

/// The memory that Grid::shared asked for, 16-byte aligned: the only name that dynamic shared memory has.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  return reinterpret_cast<T*>(earmark_dynamic_shared);
}

/// Starts `kernel` on the current stream of the current GPU. Throws Error, naming it, when it cannot be started. What
/// goes wrong while it runs comes out of a later call, whose error names it among those that may have failed.
template <class... P>
void launch(void (*kernel)(P...), const Grid& grid, std::type_identity_t<P>... arguments) {
  constexpr std::size_t kWithoutAsking = std::size_t{48} << 10U;
  const auto threads = [](dim3 d) { return std::uint64_t{d.x} * d.y * d.z; };
  if (threads(grid.grid) == 0 || threads(grid.block) == 0) {
    return;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid.grid;
  config.blockDim = grid.block;
  config.dynamicSmemBytes = grid.shared;
  config.stream = current_stream();
  cudaError_t status = cudaSuccess;
  if (grid.shared > kWithoutAsking) {
    status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared));
  }
  if (status == cudaSuccess) {
    status = cudaLaunchKernelEx(&config, kernel, arguments...);
  }
  if (status != cudaSuccess) [[unlikely]] {
    const std::string what =
        str(name_of_kernel(reinterpret_cast<const void*>(kernel)), " in ", grid.grid.x, " x ", grid.grid.y, " x ",
            grid.grid.z, " blocks of ", threads(grid.block), " threads with ", grid.shared, " bytes of shared memory");
    check_status(status, what.c_str());
  }
  note_launch(reinterpret_cast<const void*>(kernel), config.stream);
}

}  // namespace earmark::kernels::cuda
