// The runtime's functions for memory, as the toolkit's headers declare them.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "access.h"
#include "capture.h"
#include "config.h"
#include "devices.h"
#include "memory.h"
#include "report.h"
#include "status.h"
#include "streams.h"

namespace cudasim {
namespace {

std::uint64_t hash_of(const void* data, std::size_t bytes) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (std::size_t i = 0; i < bytes; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, static_cast<const char*>(data) + i, std::min<std::size_t>(8, bytes - i));
    hash = (hash ^ word) * 0x100000001b3ULL;
    hash ^= hash >> 29U;
  }
  return hash;
}

/// When a copy's turn has come. Memory that was freed in the meantime is left alone.
void copy_now(void* to, const void* from, std::size_t bytes) {
  const bool readable = !in_arena(from) || copy_reads(from, bytes);
  const bool writable = !in_arena(to) || copy_writes(to, bytes);
  if (readable && writable) {
    std::memcpy(to, from, bytes);
  } else {
    fail_device(cudaErrorIllegalAddress);
  }
}

/// The GPU that memory belongs to: the current one if it is none's.
int device_of(const void* pointer) {
  const Allocation* const a = in_arena(pointer) ? allocation_at(reinterpret_cast<std::uintptr_t>(pointer)) : nullptr;
  return a == nullptr ? current_device : a->device;
}

bool fits(const void* pointer, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const Allocation* const a = allocation_at(address);
  return a != nullptr && a->holds(address, bytes);
}

/// What is wrong with a copy as it is asked for; nothing when all is well.
std::string fault_of(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (in_arena(from) != from_device || in_arena(to) != to_device)) {
    return "the direction does not match the pointers";
  }
  for (const void* side : {from, to}) {
    if (in_arena(side) && !fits(side, bytes)) {
      return std::to_string(bytes) + " bytes " + (side == from ? "from " : "to ") +
             describe(reinterpret_cast<std::uintptr_t>(side));
    }
  }
  return {};
}

cudaError_t queue_copy(void* to, const void* from, std::size_t bytes, cudaStream_t stream) {
  if (in_arena(from)) {
    if (is_recorded(stream) && !in_arena(to) && !is_pinned(to)) {
      return *refused_by_recording(stream);
    }
    if (!in_arena(to) && !is_recorded(stream)) {
      std::memset(to, 0xff, bytes);  // undefined until the copy is done: not what the host hopes for
    }
    return enqueue(stream, "cudaMemcpyAsync", [=] { copy_now(to, from, bytes); });
  }
  if (is_recorded(stream) && !is_pinned(from)) {  // a replay would read memory that the caller may drop
    return *refused_by_recording(stream);
  }
  if (is_recorded(stream)) {
    return enqueue(stream, "cudaMemcpyAsync", [=] { copy_now(to, from, bytes); });
  }
  if (!is_pinned(from)) {  // read before the call returns
    const auto* const first = static_cast<const char*>(from);
    const auto staged = std::make_shared<const std::vector<char>>(first, first + bytes);
    return enqueue(stream, "cudaMemcpyAsync", [=] { copy_now(to, staged->data(), bytes); });
  }
  const std::uint64_t hash = hash_of(from, bytes);
  return enqueue(stream, "cudaMemcpyAsync", [=] {
    if (hash_of(from, bytes) != hash) {
      report("source-changed", "pinned memory was written to between cudaMemcpyAsync of " + std::to_string(bytes) +
                                   " bytes from it to " + describe(reinterpret_cast<std::uintptr_t>(to)) +
                                   " and the copy itself");
    }
    copy_now(to, from, bytes);
  });
}

/// What cudaFreeAsync was called for and was not freed yet: never, where the device has failed before its turn.
std::set<void*>& to_be_freed() {
  static auto* const pointers = new std::set<void*>;  // never destroyed: programs free memory while they end
  return *pointers;
}

/// `caller` is the program's return address, for the report.
cudaError_t check_and_queue_copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                                 cudaStream_t stream, const void* caller) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess || bytes == 0) {
    return status;
  }
  if (const std::string fault = fault_of(to, from, bytes, kind); !fault.empty()) {
    report("bad-copy", "cudaMemcpy: " + fault, caller);
    return noted(cudaErrorInvalidValue);
  }
  return queue_copy(to, from, bytes, stream);
}

}  // namespace

void free_what_a_failure_left() {
  for (void* pointer : to_be_freed()) {
    release(pointer);
  }
  to_be_freed().clear();
}

}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const Lock lock(runtime_mutex());
  *pointer = nullptr;
  if (const cudaError_t status = device_status(); status != cudaSuccess || bytes == 0) {
    return status;
  }
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  *pointer = next_allocation_fails() ? nullptr : allocate(bytes, current_device);
  return noted(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

/// As with a GPU, what is queued is done first.
cudaError_t cudaFree(void* pointer) {
  const Lock lock(runtime_mutex());
  note_wait(&HostWaits::device);
  if (const cudaError_t status = finish_device(device_of(pointer)); status != cudaSuccess || pointer == nullptr) {
    return status;
  }
  return release(pointer) ? cudaSuccess : noted(cudaErrorInvalidValue);
}

/// Memory that belongs to a graph is not simulated.
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  *pointer = nullptr;
  if (is_recorded(stream)) {
    return *refused_by_recording(stream);
  }
  if (const cudaError_t status = device_status(); status != cudaSuccess || bytes == 0) {
    return status;
  }
  *pointer = next_allocation_fails() ? nullptr : allocate(bytes, device_of(stream));
  return noted(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (pointer == nullptr) {
    return cudaSuccess;
  }
  const Lock lock(runtime_mutex());
  if (is_recorded(stream)) {
    return *refused_by_recording(stream);
  }
  to_be_freed().insert(pointer);
  return enqueue(stream, "cudaFreeAsync", [pointer] {
    to_be_freed().erase(pointer);
    library_frees(pointer, "cudaFreeAsync");
    release(pointer);
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  const Lock lock(runtime_mutex());
  *total = config().memory;
  *free_bytes = *total - memory_in_use(current_device);
  return device_status();
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  *pool = nullptr;
  return is_device(device) ? device_status() : noted(cudaErrorInvalidDevice);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t /*pool*/, cudaMemPoolAttr /*attribute*/, void* /*value*/) {
  return device_status();
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t /*pool*/, std::size_t /*bytes*/) { return device_status(); }

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  const Lock lock(runtime_mutex());
  *pointer = nullptr;
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (!next_host_allocation_fails()) {
    *pointer = std::aligned_alloc(kGranule, (bytes + kGranule - 1) / kGranule * kGranule);
  }
  if (*pointer == nullptr) {
    return noted(cudaErrorMemoryAllocation);
  }
  note_pinned(*pointer, bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  const Lock lock(runtime_mutex());
  const auto refused = refused_by_recording();
  if (!refused) {
    finish_all_devices();
  }
  const cudaError_t status = refused ? *refused : device_status();
  if (pointer != nullptr && !forget_pinned(pointer)) {
    return noted(cudaErrorInvalidValue);
  }
  std::free(pointer);
  return status;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return check_and_queue_copy(to, from, bytes, kind, stream, __builtin_return_address(0));
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  note_wait(&HostWaits::copies);
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  const cudaError_t status = check_and_queue_copy(to, from, bytes, kind, nullptr, __builtin_return_address(0));
  return status == cudaSuccess ? finish_stream(nullptr) : status;
}

cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t stream) {
  return enqueue(stream, "cudaMemsetAsync", [=] {
    if (library_writes(to, bytes, "cudaMemset")) {
      std::memset(to, byte, bytes);
    } else {
      fail_device(cudaErrorIllegalAddress);
    }
  });
}

cudaError_t cudaMemset(void* to, int byte, std::size_t bytes) {
  note_wait(&HostWaits::copies);
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  const cudaError_t status = cudaMemsetAsync(to, byte, bytes, nullptr);
  return status == cudaSuccess ? finish_stream(nullptr) : status;
}

}  // extern "C"
