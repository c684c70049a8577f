#include "fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cudasim {
namespace {

constexpr std::size_t kPage = 4096;

char* stacks = nullptr;
std::vector<Fiber> fibers;
std::vector<Fiber*> idle;

void make_stacks() {
  void* place =
      mmap(nullptr, kStackBytes * kMostThreads, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) {
    std::perror("cudasim: no memory for the stacks of threads");
    std::abort();
  }
  stacks = static_cast<char*>(place);
  fibers.resize(kMostThreads);
  idle.reserve(kMostThreads);
  for (std::size_t i = 0; i < kMostThreads; ++i) {
    fibers[i].low = stacks + i * kStackBytes;
    fibers[i].high = fibers[i].low + kStackBytes;
    mprotect(fibers[i].low + kPage, kStackBytes - kPage, PROT_READ | PROT_WRITE);
  }
}

/// Ready to be switched to. The stacks' tops are staggered: all at one offset would share a few sets of the cache.
void begin_in(void (*body)(), Fiber& fiber, std::size_t number) {
  const auto top = (reinterpret_cast<std::uintptr_t>(fiber.high) - 64 - number % 61 * 128) & ~std::uintptr_t{15};
  auto* slot = reinterpret_cast<void**>(top);
  *--slot = nullptr;
  *--slot = nullptr;  // what switch_to pops as the frame pointer
  *--slot = reinterpret_cast<void*>(body);
  fiber.stack_pointer = slot;
}

}  // namespace

void reset_fibers(void (*body)()) {
  if (fibers.empty()) {
    make_stacks();
  }
  idle.clear();
  for (std::size_t i = kMostThreads; i-- > 0;) {
    begin_in(body, fibers[i], i);
    idle.push_back(&fibers[i]);
  }
}

Fiber* take_fiber() {
  Fiber* fiber = idle.back();
  idle.pop_back();
  return fiber;
}

void give_fiber(Fiber* fiber) { idle.push_back(fiber); }

bool on_a_fiber(std::uintptr_t address) {
  return address - reinterpret_cast<std::uintptr_t>(stacks) < kStackBytes * kMostThreads;
}

}  // namespace cudasim
