// Device memory: one reserved range of addresses, unreadable unless stream work runs, cut into allocations with red
// zones in between. Fresh and freed memory is all ones: NaN as a floating-point number, -1 as an integer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cudasim {

struct Allocation {
  std::uintptr_t base = 0;
  std::size_t size = 0;
  std::size_t span = 0;  ///< With the red zone behind it.
  std::uint32_t number = 0;
  int device = 0;
  bool freed = false;

  bool holds(std::uintptr_t address, std::size_t bytes) const {
    return !freed && address >= base && address + bytes <= base + size;
  }
};

inline constexpr std::size_t kArenaBytes = std::size_t{16} << 30U;
inline constexpr std::size_t kGranule = 256;  ///< Allocations begin at multiples of it.

namespace detail {
extern std::uintptr_t arena;                 // 0 before the first allocation
extern std::uint32_t* numbers;               // allocation of each granule; 0: none
extern std::vector<Allocation> allocations;  // by number, the freed ones too
}  // namespace detail

inline bool in_arena(std::uintptr_t address) { return detail::arena != 0 && address - detail::arena < kArenaBytes; }
inline bool in_arena(const void* address) { return in_arena(reinterpret_cast<std::uintptr_t>(address)); }

/// The allocation that an address of the arena belongs to, freed or not, or null.
inline const Allocation* allocation_at(std::uintptr_t address) {
  const std::uint32_t number = detail::numbers[(address - detail::arena) / kGranule];
  return number == 0 ? nullptr : &detail::allocations[number];
}

/// Reserves the arena, at the first call.
void open_arena_once();

/// While one lives, device memory can be read and written.
class ArenaAccess {
 public:
  ArenaAccess();
  ~ArenaAccess();
  ArenaAccess(const ArenaAccess&) = delete;
  ArenaAccess& operator=(const ArenaAccess&) = delete;
};

/// Memory of a GPU; null when what the configuration gives it is used up.
void* allocate(std::size_t bytes, int device);

/// Reports "bad-free" and returns false for what is not, or no longer, an allocation's beginning.
bool release(const void* pointer);

/// Frees what was to be freed when the device failed.
void free_what_a_failure_left();

/// Of one GPU.
std::size_t memory_in_use(int device);

/// Reports each allocation behind which something was written.
void check_red_zones(const char* noticed_at);

/// "allocation #3 (256 bytes) + 12", or how far from which allocation an address lies.
std::string describe(std::uintptr_t address);

/// Pinned host memory, by base.
void note_pinned(const void* base, std::size_t bytes);
bool forget_pinned(const void* base);
bool is_pinned(const void* address);

}  // namespace cudasim
