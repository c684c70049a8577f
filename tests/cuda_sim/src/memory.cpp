#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>

#include "cudasim/control.h"
#include "fault.h"
#include "report.h"
#include "shadow.h"
#include "streams.h"

namespace cudasim {
namespace detail {
std::uintptr_t arena = 0;
std::uint32_t* numbers = nullptr;
std::vector<Allocation> allocations;
}  // namespace detail

namespace {

using detail::allocations;
using detail::arena;
using detail::numbers;

constexpr std::size_t kHugePage = std::size_t{2} << 20U;
constexpr int kFreshByte = 0xff;
constexpr unsigned char kRedZoneByte = 0xfc;
// Freed blocks that are not used again, so that late accesses are seen: the last ones, up to this number and size.
constexpr std::size_t kQuarantine = 64;
constexpr std::size_t kQuarantineBytes = std::size_t{64} << 20U;

std::uintptr_t top = 0;                        // all below was allocated at some time
std::map<int, std::size_t> in_use;             // by GPU
std::map<std::uintptr_t, std::uint32_t> live;  // numbers by base
std::deque<std::uint32_t> freed;               // numbers, the oldest first
std::map<std::uintptr_t, std::size_t> pinned;
int accesses = 0;

void* map_lazily(std::size_t bytes, int protection) {
  void* place = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    die("no address space for device memory");
  }
  return place;
}

std::size_t round_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

std::size_t span_of(std::size_t bytes) { return round_up(bytes, kGranule) + kGranule; }

/// Whole huge pages: protecting small ones would break them up, and cost 6 ms a launch instead of 30 us.
void protect(int protection) { mprotect(reinterpret_cast<void*>(arena), round_up(top - arena, kHugePage), protection); }

/// How many of the freed blocks are in quarantine.
std::size_t resting() {
  std::size_t count = 0;
  std::size_t bytes = 0;
  for (auto number = freed.rbegin(); number != freed.rend() && count < kQuarantine; ++number, ++count) {
    bytes += allocations[*number].span;
    if (bytes > kQuarantineBytes) {
      break;
    }
  }
  return count;
}

/// The number of a freed block that can be had again: of that span and rested, or any that is large enough when the
/// arena has no room for a new one. 0: none.
std::uint32_t reusable(std::size_t span) {
  const bool full = top + span > arena + kArenaBytes;
  const auto rested = freed.end() - static_cast<std::ptrdiff_t>(full ? 0 : resting());
  const auto at = std::find_if(freed.begin(), rested, [&](std::uint32_t number) {
    return full ? allocations[number].span >= span : allocations[number].span == span;
  });
  if (at == rested) {
    return 0;
  }
  const std::uint32_t number = *at;
  freed.erase(at);
  return number;
}

/// Null when there is no room.
std::uintptr_t find_room(std::size_t& span) {
  if (const std::uint32_t number = reusable(span); number != 0) {
    span = allocations[number].span;
    return allocations[number].base;
  }
  if (top + span > arena + kArenaBytes) {
    return 0;
  }
  top += span;
  return top - span;
}

std::string behind(std::uintptr_t address, const Allocation& a) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%#zx, %zu bytes past the end of allocation #%u (%zu bytes)",
                static_cast<std::size_t>(address), static_cast<std::size_t>(address - a.base - a.size), a.number,
                a.size);
  return text.data();
}

void check_red_zone(const Allocation& a, const char* noticed_at) {
  auto* const first = reinterpret_cast<unsigned char*>(a.base + a.size);
  auto* const last = reinterpret_cast<unsigned char*>(a.base + a.span);
  const auto* const bad = std::find_if(first, last, [](unsigned char byte) { return byte != kRedZoneByte; });
  if (bad != last) {
    report("red-zone", "the memory behind allocation #" + std::to_string(a.number) + " (" + std::to_string(a.size) +
                           " bytes) was overwritten at +" + std::to_string(bad - first) + "; noticed at " + noticed_at);
    std::memset(first, kRedZoneByte, static_cast<std::size_t>(last - first));
  }
}

}  // namespace

void open_arena_once() {
  if (arena != 0) {
    return;
  }
  const auto place = reinterpret_cast<std::uintptr_t>(map_lazily(kArenaBytes + kHugePage, PROT_NONE));
  arena = round_up(place, kHugePage);
  madvise(reinterpret_cast<void*>(arena), kArenaBytes, MADV_HUGEPAGE);
  numbers =
      static_cast<std::uint32_t*>(map_lazily(kArenaBytes / kGranule * sizeof(std::uint32_t), PROT_READ | PROT_WRITE));
  allocations.emplace_back();  // number 0 is none
  top = arena + kGranule;
  open_shadow(kArenaBytes);
  catch_faults_of_this_thread();
}

ArenaAccess::ArenaAccess() {
  open_arena_once();
  if (accesses++ == 0) {
    protect(PROT_READ | PROT_WRITE);
  }
}

ArenaAccess::~ArenaAccess() {
  if (--accesses == 0) {
    protect(PROT_NONE);
  }
}

void* allocate(std::size_t bytes, int device) {
  open_arena_once();
  std::size_t span = span_of(bytes);
  if (bytes > config().memory || in_use[device] + bytes > config().memory) {
    return nullptr;
  }
  const std::uintptr_t base = find_room(span);
  if (base == 0) {
    return nullptr;
  }
  const ArenaAccess access;
  protect(PROT_READ | PROT_WRITE);  // the arena may just have grown
  const auto number = static_cast<std::uint32_t>(allocations.size());
  allocations.push_back({base, bytes, span, number, device, false});
  std::fill_n(numbers + (base - arena) / kGranule, round_up(bytes, kGranule) / kGranule, number);
  std::memset(reinterpret_cast<void*>(base), kFreshByte, bytes);
  std::memset(reinterpret_cast<void*>(base + bytes), kRedZoneByte, span - bytes);
  forget_shadow(base, span);
  live[base] = number;
  in_use[device] += bytes;
  return reinterpret_cast<void*>(base);
}

bool release(const void* pointer) {
  const auto at = live.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (at == live.end()) {
    report("bad-free",
           "not the beginning of a live allocation: " + describe(reinterpret_cast<std::uintptr_t>(pointer)));
    return false;
  }
  Allocation& a = allocations[at->second];
  const ArenaAccess access;
  std::memset(reinterpret_cast<void*>(a.base), kFreshByte, a.size);
  a.freed = true;
  in_use[a.device] -= a.size;
  freed.push_back(a.number);
  live.erase(at);
  return true;
}

std::size_t memory_in_use(int device) { return in_use[device]; }

void check_red_zones(const char* noticed_at) {
  const ArenaAccess access;
  for (const auto& [base, number] : live) {
    check_red_zone(allocations[number], noticed_at);
  }
}

std::string describe(std::uintptr_t address) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%#zx (no allocation)", static_cast<std::size_t>(address));
  if (!in_arena(address)) {
    std::snprintf(text.data(), text.size(), "%#zx (not device memory)", static_cast<std::size_t>(address));
    return text.data();
  }
  if (const Allocation* a = allocation_at(address)) {
    if (address >= a->base + a->size) {
      return behind(address, *a);
    }
    std::snprintf(text.data(), text.size(), "allocation #%u (%zu bytes) + %zu%s", a->number, a->size,
                  static_cast<std::size_t>(address - a->base), a->freed ? ", which was freed" : "");
    return text.data();
  }
  const Allocation* before = nullptr;
  for (const Allocation& a : allocations) {
    if (a.size > 0 && a.base <= address && (before == nullptr || a.base >= before->base)) {
      before = &a;
    }
  }
  return before != nullptr ? behind(address, *before) : text.data();
}

void note_pinned(const void* base, std::size_t bytes) { pinned[reinterpret_cast<std::uintptr_t>(base)] = bytes; }

bool forget_pinned(const void* base) { return pinned.erase(reinterpret_cast<std::uintptr_t>(base)) > 0; }

bool is_pinned(const void* address) {
  const auto place = reinterpret_cast<std::uintptr_t>(address);
  const auto after = pinned.upper_bound(place);
  return after != pinned.begin() && place - std::prev(after)->first < std::prev(after)->second;
}

LiveMemory live_memory() {
  finish_all_devices();
  const Lock lock(runtime_mutex());
  std::size_t bytes = 0;
  for (const auto& [device, of_device] : in_use) {
    bytes += of_device;
  }
  return {live.size(), bytes, pinned.size()};
}

}  // namespace cudasim
