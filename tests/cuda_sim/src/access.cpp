#include "access.h"

#include <string>
#include <vector>

#include "memory.h"
#include "report.h"
#include "shared_memory.h"
#include "streams.h"
#include "traffic.h"

namespace cudasim {
namespace {

/// Addresses below it come of a null pointer and an index.
constexpr std::uintptr_t kNullPage = 4096;

bool checked = false;

struct Access {
  std::uintptr_t address;
  unsigned bytes;
  Kind kind;
  const void* pc;
};

std::string name_of(const Access& a) {
  return std::string(a.kind == Kind::read ? "read" : "write") + " of " + std::to_string(a.bytes) + " bytes";
}

std::string foreign(const Allocation& a, int device) {
  return ", memory of GPU " + std::to_string(a.device) + ", by GPU " + std::to_string(device);
}

bool is_within(std::uintptr_t address, const void* begin, std::size_t bytes) {
  return address - reinterpret_cast<std::uintptr_t>(begin) < bytes;
}

void check(ShadowWord* words, const Place& place, const Access& a) {
  if (a.address % a.bytes != 0) {
    fail_kernel("misaligned", name_of(a) + " at " + describe(place) + ": not a multiple of their number", a.pc);
  }
  if (traffic_recorded) {
    note_traffic(running_lane->thread / 32U, {a.pc, a.address, running_lane->lane, static_cast<std::uint8_t>(a.bytes),
                                              place.space, a.kind != Kind::read, a.kind == Kind::atomic});
  }
  check_access(words, place, a.bytes, a.kind, now(), a.pc);
}

void access_global(const Access& a) {
  const Allocation* const allocation = allocation_at(a.address);
  if (allocation == nullptr || !allocation->holds(a.address, a.bytes)) {
    fail_kernel(allocation != nullptr && allocation->freed ? "use-after-free" : "out-of-bounds-global",
                name_of(a) + " at " + describe(a.address), a.pc);
  }
  if (allocation->device != running_launch->device) {
    fail_kernel("foreign-device",
                name_of(a) + " at " + describe(a.address) + foreign(*allocation, running_launch->device), a.pc);
  }
  check(shadow_of(a.address), {Space::global, a.address, 0, nullptr}, a);
}

/// Shared memory as the simulator sees it: the program's TLS block, where static variables lie, and the dynamic array.
struct SharedShadow {
  std::vector<int> variable_at;  // by word of the TLS block; -1: none
  std::vector<ShadowWord> fixed;
  std::vector<ShadowWord> dynamic;

  SharedShadow()
      : variable_at(image().tls_size / 4 + 2, -1), fixed(variable_at.size()), dynamic(kMostSharedMemory / 4) {
    const auto& variables = image().shared;
    for (std::size_t v = 0; v < variables.size(); ++v) {
      const std::size_t end = variables[v].offset + variables[v].size;
      for (std::size_t at = variables[v].offset; at < end; at += 4) {
        variable_at[at / 4] = static_cast<int>(v);
      }
    }
  }
};

SharedShadow& shared_shadow() {
  static SharedShadow instance;
  return instance;
}

void access_dynamic_shared(const Access& a) {
  const auto base = reinterpret_cast<std::uintptr_t>(dynamic_shared());
  const std::size_t offset = a.address - base;
  if (offset + a.bytes > running_launch->shared) {
    fail_kernel("out-of-bounds-shared",
                name_of(a) + " at dynamic shared memory + " + std::to_string(offset) + ", of which the launch has " +
                    std::to_string(running_launch->shared) + " bytes",
                a.pc);
  }
  check(&shared_shadow().dynamic[offset / 4], {Space::shared, a.address, base, nullptr}, a);
}

bool is_built_in(std::uintptr_t address) {
  return is_within(address, &threadIdx, sizeof threadIdx) || is_within(address, &blockIdx, sizeof blockIdx) ||
         is_within(address, &blockDim, sizeof blockDim) || is_within(address, &gridDim, sizeof gridDim);
}

[[noreturn]] void fail_between_variables(const Access& a, std::size_t word) {
  const int before = word > 0 ? shared_shadow().variable_at[word - 1] : -1;
  fail_kernel("out-of-bounds-shared",
              name_of(a) + " outside of any __shared__ variable" +
                  (before >= 0 ? ", just behind '" + image().shared[static_cast<std::size_t>(before)].name + "'" : ""),
              a.pc);
}

void access_static_shared(const Access& a, std::size_t offset) {
  const int found = shared_shadow().variable_at[offset / 4];
  if (found < 0) {
    if (a.kind != Kind::read || !is_built_in(a.address)) {
      fail_between_variables(a, offset / 4);
    }
    return;
  }
  const SharedVariable& variable = image().shared[static_cast<std::size_t>(found)];
  if (offset < variable.offset || offset + a.bytes > variable.offset + variable.size) {
    fail_kernel("out-of-bounds-shared",
                name_of(a) + " past the end of __shared__ '" + variable.name + "' (" + std::to_string(variable.size) +
                    " bytes)",
                a.pc);
  }
  check(&shared_shadow().fixed[offset / 4], {Space::shared, a.address, a.address - offset, &variable}, a);
}

/// Neither device nor shared memory nor the thread's stack: constants of the program, or a mistake.
void access_elsewhere(const Access& a) {
  const bool constant = a.kind == Kind::read && a.address - image().low < image().high - image().low;
  if (constant || is_pinned(reinterpret_cast<const void*>(a.address))) {
    return;
  }
  if (a.address < kNullPage) {
    fail_kernel("null-pointer", name_of(a) + " at address " + std::to_string(a.address), a.pc);
  }
  if (on_a_fiber(a.address)) {
    fail_kernel("foreign-stack", name_of(a) + " in another thread's local memory", a.pc);
  }
  fail_kernel("host-pointer", name_of(a) + " of ordinary host memory by device code", a.pc);
}

bool library_touches(const void* pointer, std::size_t bytes, Kind kind, const char* who, bool copies = false) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (bytes == 0) {
    return true;
  }
  const Allocation* const a = in_arena(address) ? allocation_at(address) : nullptr;
  const bool fits = a != nullptr && a->holds(address, bytes);
  if (!fits || (!copies && a->device != running_device())) {
    report(fits ? "foreign-device" : "out-of-bounds-global",
           std::string(who) + (kind == Kind::read ? " reads " : " writes ") + std::to_string(bytes) + " bytes at " +
               describe(address) + (fits ? foreign(*a, running_device()) : ""));
    return false;
  }
  if (checked) {
    check_access(shadow_of(address), {Space::global, address, 0, nullptr}, bytes, kind, {running_work, 0, 0, 0, 0},
                 nullptr);
  }
  return true;
}

}  // namespace

bool check_build() { return checked; }

void note_check_build() { checked = true; }

void access_memory(std::uintptr_t address, unsigned bytes, Kind kind, const void* pc) {
  const Lane* const lane = running_lane;
  if (lane == nullptr || SimulatorsOwn::active || is_within(address, lane->fiber->low, kStackBytes)) {
    return;  // host code, or the thread's own local memory
  }
  const SimulatorsOwn scope;
  const Access a{address, bytes, kind, pc};
  if (in_arena(address)) {
    return access_global(a);
  }
  if (is_within(address, running_launch->kernel.parameters.get(), running_launch->kernel.bytes)) {
    return;
  }
  if (is_within(address, dynamic_shared(), kMostSharedMemory)) {
    return access_dynamic_shared(a);
  }
  const std::size_t offset = address - reinterpret_cast<std::uintptr_t>(tls_block());
  if (offset < image().tls_size) {
    return access_static_shared(a, offset);
  }
  access_elsewhere(a);
}

void atomic_access(const volatile void* place, unsigned bytes) {
  if (checked) {
    access_memory(reinterpret_cast<std::uintptr_t>(place), bytes, Kind::atomic, __builtin_return_address(0));
  }
}

bool library_reads(const void* pointer, std::size_t bytes, const char* who) {
  return library_touches(pointer, bytes, Kind::read, who);
}

bool library_writes(const void* pointer, std::size_t bytes, const char* who) {
  return library_touches(pointer, bytes, Kind::write, who);
}

bool copy_reads(const void* pointer, std::size_t bytes) {
  return library_touches(pointer, bytes, Kind::read, "cudaMemcpy", true);
}

bool copy_writes(const void* pointer, std::size_t bytes) {
  return library_touches(pointer, bytes, Kind::write, "cudaMemcpy", true);
}

void library_frees(const void* pointer, const char* who) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const Allocation* const a = in_arena(address) ? allocation_at(address) : nullptr;
  if (a != nullptr && a->base == address && !a->freed) {
    library_writes(pointer, a->size, who);
  }
}

}  // namespace cudasim
