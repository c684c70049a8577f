// The memory of work that is recorded into a CUDA graph. A graph writes to the same addresses each time it is started,
// so what its tensors held while it was recorded stays reserved for it. How much that is a rehearsal tells: the work
// runs once as always, and a plan follows what it takes and gives back. Recorded, it takes the same in the same order
// from one block of that size. For graph.cpp and memory.cpp.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace earmark::kernels::cuda {

/// What cuBLAS gets for itself while it is recorded: its own workspace would be memory of the driver, which must not
/// become part of a graph. As much as it has of its own accord on Hopper.
inline constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20U;

/// Where pieces lie in a row of bytes: each at the lowest place that is free. Offsets are multiples of 512.
class Placement {
 public:
  std::size_t take(std::size_t bytes);
  void give(std::size_t offset);
  std::size_t peak() const { return peak_; }  ///< End of the highest piece that ever was.
  std::size_t count() const { return pieces_.size(); }

 private:
  std::map<std::size_t, std::size_t> pieces_;  // offset, size
  std::size_t peak_ = 0;
};

/// One block of memory that recorded work lives in. It goes when nothing uses it: neither the graph nor a tensor.
class Arena {
 public:
  Arena(std::size_t bytes, int device);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::size_t bytes() const { return bytes_; }
  int device() const { return device_; }
  std::byte* workspace() const { return base_; }  ///< kBlasWorkspace bytes.
  /// Throws Error where it is full: the work takes more than it did in the rehearsal.
  std::byte* take(std::size_t bytes);
  void give(std::byte* block);
  bool holds(const std::byte* block) const { return block >= base_ && block < base_ + bytes_; }
  bool empty();  ///< But for the workspace.

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_;
  int device_;
  std::mutex mutex_;
  Placement placement_;
};

/// Makes an arena that allocations of the recording thread come from, and that releases of any thread find.
std::shared_ptr<Arena> make_arena(std::size_t bytes, int device);
/// No graph needs it any more: it goes as soon as it is empty.
void abandon(std::shared_ptr<Arena> arena);

/// While alive, a plan follows what this thread takes and gives back.
class RehearsalScope {
 public:
  RehearsalScope();
  ~RehearsalScope();
  RehearsalScope(const RehearsalScope&) = delete;
  RehearsalScope& operator=(const RehearsalScope&) = delete;

  std::size_t peak() const { return placement_.peak(); }
  void took(const std::byte* block, std::size_t bytes);
  void gave(const std::byte* block);

 private:
  Placement placement_;
  std::map<const std::byte*, std::size_t> offsets_;
};

/// While alive, this thread's allocations come from an arena. What it releases that is no arena's is released at the
/// end, which comes after the recording's: freeing memory of the pool must not become part of a graph.
class RecordingScope {
 public:
  explicit RecordingScope(std::shared_ptr<Arena> arena);
  ~RecordingScope();
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

  Arena& arena() const { return *arena_; }
  void release_later(std::byte* block, std::size_t bytes, int device) { later_.push_back({block, bytes, device}); }

 private:
  struct Block {
    std::byte* data;
    std::size_t bytes;
    int device;
  };

  std::shared_ptr<Arena> arena_;
  std::vector<Block> later_;
};

/// What allocate() and release() of memory.h ask: null where nothing is recorded or rehearsed by this thread.
RecordingScope* recording();
Arena* recording_arena();
RehearsalScope* rehearsal();
/// Gives the block back to the arena that it came from. False where it came from none.
bool give_to_arena(std::byte* block);

}  // namespace earmark::kernels::cuda
