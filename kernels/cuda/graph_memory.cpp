#include "kernels/cuda/graph_memory.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/error.h"

namespace earmark::kernels::cuda {
namespace {

constexpr std::size_t kAlignment = 512;  // as the driver's own allocations

thread_local RecordingScope* recorder = nullptr;
thread_local RehearsalScope* rehearsing = nullptr;

struct Arenas {
  std::mutex mutex;
  std::vector<std::shared_ptr<Arena>> all;
  std::vector<std::shared_ptr<Arena>> abandoned;  // those of them that no graph needs
  std::atomic<int> count = 0;                     // of all: most programs have none, and need not lock
};

Arenas& arenas() {
  static Arenas* const instance = new Arenas;  // never destroyed: static tensors may outlive it otherwise
  return *instance;
}

/// Takes out the arenas that nothing needs, for the caller to drop once the lock is gone.
std::vector<std::shared_ptr<Arena>> unneeded(Arenas& arenas) {
  std::vector<std::shared_ptr<Arena>> out;
  for (auto at = arenas.abandoned.begin(); at != arenas.abandoned.end();) {
    if ((*at)->empty()) {
      out.push_back(*at);
      std::erase(arenas.all, *at);
      at = arenas.abandoned.erase(at);
    } else {
      ++at;
    }
  }
  arenas.count = static_cast<int>(arenas.all.size());
  return out;
}

}  // namespace

std::size_t Placement::take(std::size_t bytes) {
  const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  std::size_t offset = 0;
  for (const auto& [begin, length] : pieces_) {
    if (begin - offset >= size) {
      break;
    }
    offset = begin + length;
  }
  pieces_[offset] = size;
  peak_ = std::max(peak_, offset + size);
  return offset;
}

void Placement::give(std::size_t offset) { pieces_.erase(offset); }

Arena::Arena(std::size_t bytes, int device) : base_(allocate(bytes, device)), bytes_(bytes), device_(device) {
  placement_.take(kBlasWorkspace);
}

Arena::~Arena() { release(base_, bytes_, device_); }

std::byte* Arena::take(std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  const std::size_t offset = placement_.take(bytes);
  if (placement_.peak() > bytes_) {
    placement_.give(offset);
    fail("recorded work takes more memory than the ", bytes_, " bytes that it took when it was rehearsed");
  }
  return base_ + offset;
}

void Arena::give(std::byte* block) {
  const std::scoped_lock lock(mutex_);
  placement_.give(static_cast<std::size_t>(block - base_));
}

bool Arena::empty() {
  const std::scoped_lock lock(mutex_);
  return placement_.count() == 1;
}

std::shared_ptr<Arena> make_arena(std::size_t bytes, int device) {
  auto arena = std::make_shared<Arena>(bytes, device);
  Arenas& a = arenas();
  const std::scoped_lock lock(a.mutex);
  a.all.push_back(arena);
  a.count = static_cast<int>(a.all.size());
  return arena;
}

void abandon(std::shared_ptr<Arena> arena) {
  Arenas& a = arenas();
  std::vector<std::shared_ptr<Arena>> gone;
  const std::scoped_lock lock(a.mutex);
  a.abandoned.push_back(std::move(arena));
  gone = unneeded(a);
}

bool give_to_arena(std::byte* block) {
  Arenas& a = arenas();
  if (a.count == 0) {
    return false;
  }
  std::vector<std::shared_ptr<Arena>> gone;  // released after the lock is
  const std::scoped_lock lock(a.mutex);
  const auto at = std::ranges::find_if(a.all, [block](const auto& arena) { return arena->holds(block); });
  if (at == a.all.end()) {
    return false;
  }
  (*at)->give(block);
  gone = unneeded(a);
  return true;
}

RehearsalScope::RehearsalScope() {
  check(rehearsing == nullptr && recorder == nullptr, "work is rehearsed or recorded by this thread already");
  rehearsing = this;
  placement_.take(kBlasWorkspace);
}
RehearsalScope::~RehearsalScope() { rehearsing = nullptr; }

void RehearsalScope::took(const std::byte* block, std::size_t bytes) { offsets_[block] = placement_.take(bytes); }

void RehearsalScope::gave(const std::byte* block) {
  if (const auto at = offsets_.find(block); at != offsets_.end()) {
    placement_.give(at->second);
    offsets_.erase(at);
  }
}

RecordingScope::RecordingScope(std::shared_ptr<Arena> arena) : arena_(std::move(arena)) {
  check(rehearsing == nullptr && recorder == nullptr, "work is rehearsed or recorded by this thread already");
  recorder = this;
}

RecordingScope::~RecordingScope() {
  recorder = nullptr;
  for (const Block& block : later_) {
    release(block.data, block.bytes, block.device);
  }
}

RecordingScope* recording() { return recorder; }
Arena* recording_arena() { return recorder == nullptr ? nullptr : &recorder->arena(); }
RehearsalScope* rehearsal() { return rehearsing; }

}  // namespace earmark::kernels::cuda
