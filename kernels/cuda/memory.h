// What the rest of the engine asks of CUDA: devices, their memory, copies. No CUDA header is needed to call it; code
// that may be built without CUDA calls it under `if constexpr (kBuiltWithCuda)` (kernels/dispatch.h).
// Work goes to the calling thread's current stream (kernels/cuda/stream.h). Everything throws Error, but for release().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/device.h"
#include "kernels/dtype.h"

namespace earmark::kernels::cuda {

/// How many GPUs can be used. Where there are none, 0, and `why` (if given) becomes a sentence that says so.
int device_count(std::string* why = nullptr);

/// Makes GPU `index` the one that this thread allocates on and launches on. Throws Error where there is none.
void make_current(int index);

/// Fresh, uninitialised memory on a GPU, ordered with the current stream; null for no bytes. Throws Error when it
/// cannot be had even after unused memory of the pool was given back.
std::byte* allocate(std::size_t bytes, int device);
/// Frees what allocate() gave, once the current stream has come this far. Never throws: destructors call it.
void release(std::byte* block, std::size_t bytes, int device) noexcept;

/// Copies within a GPU, between two, or between one and the host. Within a GPU it is only queued; otherwise it returns
/// when the copy is done, so the host's memory may be read or overwritten at once.
void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes);
/// Queues a copy and returns. The host's side must be pinned memory that is left alone until the stream has come this
/// far; pageable memory that is read from may be reused at once.
void copy_async(void* to, const void* from, std::size_t bytes);

// On memory of the current GPU:
void zero(void* to, std::size_t bytes);
void fill(void* to, std::int64_t count, DType dtype, double value);
/// Between f32, f64, bf16 and f16, to nearest even. Throws Error on other types.
void convert_elements(void* to, DType to_type, const void* from, DType from_type, std::int64_t count);

/// Page-locked host memory, which copies to and from without staging. Give it to Tensor as its owner.
std::shared_ptr<void> pinned(std::size_t bytes);

/// A stream of the calling thread's own: until the handle goes, on the same thread, its work for GPU `index` runs
/// beside that of other threads. Makes that GPU the current one.
std::shared_ptr<void> own_stream(int index);
/// Blocks until what was queued on this thread's current stream is done; throws Error when any of it failed. Then
/// every stream may use, and release, what came of it.
void synchronize_stream();

/// Blocks until all work queued on the current GPU is done; throws Error when any of it failed.
void synchronize();

/// What allocate() has handed out, over all GPUs.
struct MemoryUse {
  std::int64_t allocations = 0;  ///< Calls since the program began: a steady training step adds a constant number.
  std::int64_t blocks = 0;       ///< Not released yet.
  std::size_t bytes = 0;         ///< In those.
  std::size_t peak = 0;          ///< Most bytes at once.
};
MemoryUse memory_use();

}  // namespace earmark::kernels::cuda
