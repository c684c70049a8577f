#include "kernels/cuda/memory.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <vector>

#include "kernels/cuda/graph.h"
#include "kernels/cuda/graph_memory.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

/// The GPU whose turn it was before, again at the end: an allocation must not move the caller to another one.
class DeviceScope {
 public:
  explicit DeviceScope(int device) {
    CUDA_CHECK(cudaGetDevice(&before_));
    make_current(device);
  }
  ~DeviceScope() { static_cast<void>(cudaSetDevice(before_)); }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = 0;
};

class Ledger {
 public:
  void took(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    ++use_.allocations;
    ++use_.blocks;
    use_.bytes += bytes;
    use_.peak = std::max(use_.peak, use_.bytes);
  }
  void gave(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    --use_.blocks;
    use_.bytes -= bytes;
  }
  MemoryUse use() {
    const std::scoped_lock lock(mutex_);
    return use_;
  }

 private:
  std::mutex mutex_;
  MemoryUse use_;
};

Ledger& ledger() {
  static Ledger* const instance = new Ledger;  // never destroyed: static tensors may outlive it otherwise
  return *instance;
}

cudaMemPool_t pool_of(int device) {
  cudaMemPool_t pool = nullptr;
  CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device));
  return pool;
}

/// By default the pool returns its memory to the system at every synchronisation, and each step would fetch it anew.
void keep_memory(int device) {
  static std::mutex mutex;
  static std::vector<bool> done;
  const std::scoped_lock lock(mutex);
  const auto index = static_cast<std::size_t>(device);
  if (done.size() <= index) {
    done.resize(index + 1);
  }
  if (!done[index]) {
    std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();
    CUDA_CHECK(cudaMemPoolSetAttribute(pool_of(device), cudaMemPoolAttrReleaseThreshold, &everything));
    done[index] = true;
  }
}

/// cudaSuccess, or out of memory; any other failure throws.
cudaError_t try_allocate(void** block, std::size_t bytes) {
  const cudaError_t status = cudaMallocAsync(block, bytes, current_stream());
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return status;
  }
  CUDA_CHECK(status);
  return status;
}

[[noreturn]] void fail_for_want_of_memory(std::size_t bytes, int device) {
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total));
  fail("out of memory on cuda:", device, ": a tensor needs ", bytes, " bytes, ", free_bytes, " of ", total,
       " are free");
}

std::string sentence(cudaError_t status) {
  if (status == cudaErrorNoDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return visible == nullptr
               ? "the NVIDIA driver finds no GPU"
               : str("the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES allows: '", visible, "'");
  }
  if (status == cudaErrorInsufficientDriver || status == cudaErrorStubLibrary) {
    return str("no NVIDIA driver for CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10,
               " or newer is installed");
  }
  return str("CUDA cannot be started: ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

}  // namespace

int device_count(std::string* why) {
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count == 0) {
    status = cudaErrorNoDevice;
  }
  if (status == cudaSuccess) {
    return count;
  }
  static_cast<void>(cudaGetLastError());
  if (why != nullptr) {
    *why = sentence(status);
  }
  return 0;
}

void make_current(int index) { CUDA_CHECK(cudaSetDevice(index)); }

std::byte* allocate(std::size_t bytes, int device) {
  if (bytes == 0) {
    return nullptr;
  }
  if (Arena* const arena = recording_arena()) {
    check(arena->device() == device, "CUDA graph: work of cuda:", arena->device(), " takes memory of cuda:", device);
    return arena->take(bytes);
  }
  const DeviceScope scope(device);
  keep_memory(device);
  void* block = nullptr;
  if (try_allocate(&block, bytes) != cudaSuccess) {
    finish_device();
    CUDA_CHECK(cudaMemPoolTrimTo(pool_of(device), 0));
    if (try_allocate(&block, bytes) != cudaSuccess) {
      fail_for_want_of_memory(bytes, device);
    }
  }
  ledger().took(bytes);
  if (RehearsalScope* const plan = rehearsal()) {
    plan->took(static_cast<std::byte*>(block), bytes);
  }
  return static_cast<std::byte*>(block);
}

void release(std::byte* block, std::size_t bytes, int device) noexcept {
  if (block == nullptr || give_to_arena(block)) {
    return;
  }
  if (RecordingScope* const scope = recording()) {
    return scope->release_later(block, bytes, device);
  }
  ledger().gave(bytes);
  if (RehearsalScope* const plan = rehearsal()) {
    plan->gave(block);
  }
  try {
    const DeviceScope scope(device);
    static_cast<void>(cudaFreeAsync(block, current_stream()));
  } catch (const Error&) {  // at exit the driver may be gone already, and the memory with it
    static_cast<void>(cudaGetLastError());
  }
}

void copy(void* to, Device to_device, const void* from, Device from_device, std::size_t bytes) {
  const bool both = to_device.backend == Backend::cuda && from_device.backend == Backend::cuda;
  const bool queued = both && to_device == from_device;
  if (!queued) {
    refuse_while_recording("a copy between devices, which is waited for,");
  }
  if (both && !queued) {  // streams of two GPUs know nothing of each other
    const DeviceScope source(from_device.index);
    finish_current_stream();
  }
  const DeviceScope scope(to_device.backend == Backend::cuda ? to_device.index : from_device.index);
  copy_async(to, from, bytes);
  if (!queued) {
    finish_current_stream();
  }
}

void copy_async(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) {
    CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, current_stream()));
  }
}

void zero(void* to, std::size_t bytes) {
  if (bytes > 0) {
    CUDA_CHECK(cudaMemsetAsync(to, 0, bytes, current_stream()));
  }
}

std::shared_ptr<void> pinned(std::size_t bytes) {
  void* block = nullptr;
  const cudaError_t status = cudaMallocHost(&block, std::max<std::size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    fail("out of memory on the host: ", bytes, " bytes that a GPU copies from or to cannot be page-locked");
  }
  CUDA_CHECK(status);
  return {block, [](void* p) { static_cast<void>(cudaFreeHost(p)); }};
}

std::shared_ptr<void> own_stream(int index) {
  struct Own {
    Stream stream;
    StreamScope scope{stream};
  };
  make_current(index);
  return std::make_shared<Own>();
}

void synchronize_stream() {
  refuse_while_recording("waiting for the stream");
  finish_current_stream();
}

void synchronize() {
  refuse_while_recording("waiting for the GPU");
  finish_device();
}

MemoryUse memory_use() { return ledger().use(); }

}  // namespace earmark::kernels::cuda
