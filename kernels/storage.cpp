#include "kernels/storage.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/error.h"

namespace earmark {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;
#ifdef EARMARK_POISON
constexpr bool kPoison = true;
#else
constexpr bool kPoison = false;
#endif
#ifdef __SANITIZE_ADDRESS__
constexpr bool kCache = false;  // so that AddressSanitizer sees use after free
#else
constexpr bool kCache = true;
#endif
constexpr std::size_t kFence = kPoison ? kAlignment : 0;
constexpr int kCanary = 0xA5;
constexpr int kFresh = 0xFF;  // every float type reads all ones as NaN

/// Eight buckets per power of two: at most 12.5 % is wasted.
std::size_t bucket_size(std::size_t bytes) {
  const std::size_t wanted = std::max(bytes, kAlignment);
  const std::size_t step = std::max(std::bit_floor(wanted) / 8, kAlignment);
  return (wanted + step - 1) / step * step;
}

void* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* block = std::aligned_alloc(alignment, rounded);
  if (block != nullptr && alignment == kHugePage) {
    madvise(block, rounded, MADV_HUGEPAGE);  // advice only: failure costs speed, nothing else
  }
  return block;
}

class Cache {
 public:
  std::byte* take(std::size_t bytes) {
    const std::size_t size = bucket_size(bytes + 2 * kFence);
    void* block = pop(size);
    if (block == nullptr) {
      block = allocate(size);
    }
    if (block == nullptr) {
      release();
      block = allocate(size);
    }
    check(block != nullptr, "out of memory: a tensor needs ", bytes, " bytes");
    const std::scoped_lock lock(mutex_);
    report_.in_use += size;
    report_.peak = std::max(report_.peak, report_.in_use);
    return static_cast<std::byte*>(block);
  }

  void give(std::byte* block, std::size_t bytes) {
    const std::size_t size = bucket_size(bytes + 2 * kFence);
    const std::scoped_lock lock(mutex_);
    report_.in_use -= size;
    // Loops repeat their sizes and stay far below this; what never comes back in the same size must not pile up.
    if (!kCache || report_.cached + size > 2 * report_.peak) {
      std::free(block);
      return;
    }
    free_[size].push_back(block);
    report_.cached += size;
  }

  void release() {
    const std::scoped_lock lock(mutex_);
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) {
        std::free(block);
      }
    }
    free_.clear();
    report_.cached = 0;
  }

  MemoryReport report() {
    const std::scoped_lock lock(mutex_);
    return report_;
  }

 private:
  void* pop(std::size_t size) {
    const std::scoped_lock lock(mutex_);
    const auto found = free_.find(size);
    if (found == free_.end() || found->second.empty()) {
      return nullptr;
    }
    std::byte* block = found->second.back();
    found->second.pop_back();
    report_.cached -= size;
    return block;
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<std::byte*>> free_;
  MemoryReport report_;
};

Cache& cache() {
  static Cache* const instance = new Cache;  // never destroyed: static tensors may outlive it otherwise
  return *instance;
}

bool fence_intact(const std::byte* fence) {
  return std::all_of(fence, fence + kFence, [](std::byte b) { return b == std::byte{kCanary}; });
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device) : bytes_(bytes), device_(device) {
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      data_ = kernels::cuda::allocate(bytes, device.index);
      return;
    }
  }
  check(device.backend == Backend::cpu, "this build cannot allocate on ", device);
  std::byte* block = cache().take(bytes);
  data_ = block + kFence;
  if (kPoison) {
    std::fill_n(block, kFence, std::byte{kCanary});
    std::fill_n(data_, bytes, std::byte{kFresh});
    std::fill_n(data_ + bytes, kFence, std::byte{kCanary});
  }
}

Storage::Storage(void* data, std::size_t bytes, std::shared_ptr<const void> owner)
    : data_(static_cast<std::byte*>(data)), bytes_(bytes), owner_(std::move(owner)) {
  if (!owner_) {
    owner_ = std::shared_ptr<const void>(std::shared_ptr<const void>(), data);  // the caller's: never freed here
  }
}

Storage::~Storage() {
  if (owner_ || data_ == nullptr) {
    return;
  }
  if constexpr (kBuiltWithCuda) {
    if (device_.backend == Backend::cuda) {
      kernels::cuda::release(data_, bytes_, device_.index);
      return;
    }
  }
  if (kPoison && !(fence_intact(data_ - kFence) && fence_intact(data_ + bytes_))) {
    std::abort();  // a kernel wrote past its tensor: no state is worth saving
  }
  cache().give(data_ - kFence, bytes_);
}

MemoryReport cpu_memory() { return cache().report(); }
void release_cached_memory() { cache().release(); }

}  // namespace earmark
