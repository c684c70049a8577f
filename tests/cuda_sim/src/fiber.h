// The threads of a block are fibers on one OS thread: each has a stack, and a switch is a handful of instructions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cudasim {

struct Fiber {
  void* stack_pointer = nullptr;
  char* low = nullptr;  ///< The stack's lowest page is a guard.
  char* high = nullptr;
};

/// Stores where the caller is in `*save` and goes on where `load` was stored. Inlined, and `jmp` instead of `ret`, so
/// that the processor predicts the way back: 2 ns instead of 20. All other registers are declared clobbered: the
/// compiler saves those that it needs.
__attribute__((always_inline)) inline void switch_to(void** save, void* load) {
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\tpushq %%rbp\n\tpushq %%rax\n\tmovq %%rsp, (%0)\n\t"
      "movq %1, %%rsp\n\tpopq %%rax\n\tpopq %%rbp\n\tjmp *%%rax\n1:"
      : "+D"(save), "+S"(load)
      :
      : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc", "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
        "xmm14", "xmm15");
}

inline constexpr std::size_t kStackBytes = std::size_t{64} << 10U;
inline constexpr std::size_t kMostThreads = 1024;  ///< Of a block.

/// Makes the stacks at the first call; every fiber then begins in `body`, which never returns. Fibers that were in the
/// middle of something, or belonged to another OS thread, are forgotten with what their stacks hold.
void reset_fibers(void (*body)());
Fiber* take_fiber();
void give_fiber(Fiber* fiber);

/// Whether an address lies in the stack of any fiber.
bool on_a_fiber(std::uintptr_t address);

}  // namespace cudasim
