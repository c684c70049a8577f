// Memory blocks behind tensors. GPU blocks come from CUDA's own pool, in the order of the current stream. CPU blocks
// are 64-byte aligned and come from a size-bucketed cache, so that a training loop touches the same pages again and
// again (glibc returning memory costs 15-20 % in page faults). Builds with EARMARK_POISON fill fresh blocks with NaN
// and fence them with canaries, checked when they are freed.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/device.h"

namespace earmark {

class Storage {
 public:
  /// Throws Error when `bytes` cannot be had.
  Storage(std::size_t bytes, Device device);
  /// Views memory owned by somebody else (a mapped file); `owner` is kept alive. Without an owner the caller keeps the
  /// memory valid for as long as the view lives.
  Storage(void* data, std::size_t bytes, std::shared_ptr<const void> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  Device device_;
  std::shared_ptr<const void> owner_;
};

/// What the CPU cache has handed out and holds, in bytes.
struct MemoryReport {
  std::size_t in_use = 0;
  std::size_t cached = 0;
  std::size_t peak = 0;
};
MemoryReport cpu_memory();
/// Returns every cached block to the system.
void release_cached_memory();

}  // namespace earmark
