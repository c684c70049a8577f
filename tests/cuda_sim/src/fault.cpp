#include "fault.h"

#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>

#include "block.h"
#include "memory.h"
#include "report.h"
#include "symbols.h"

namespace cudasim {
namespace {

/// Handlers see the address of the instruction itself, reports expect the one after it.
const void* as_return_address(const ucontext_t& context) {
  return reinterpret_cast<const void*>(context.uc_mcontext.gregs[REG_RIP] + 1);
}

/// Goes on, when the handler returns, in abandon_launch() with a fresh part of the thread's stack.
void leave_kernel(ucontext_t& context) {
  const auto stack = reinterpret_cast<std::uintptr_t>(running_lane->fiber->high) - 8192;
  context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>((stack & ~std::uintptr_t{15}) - 8);
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&abandon_launch);
}

void on_fault(int signal, siginfo_t* info, void* context_pointer) {
  auto& context = *static_cast<ucontext_t*>(context_pointer);
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (running_lane != nullptr) {
    const SimulatorsOwn scope;
    report("device-fault",
           on_a_fiber(address) ? "the thread's stack overflows: more than " + std::to_string(kStackBytes) + " bytes"
                               : "device code touches an address that is not mapped: " + describe(address),
           as_return_address(context));
    return leave_kernel(context);
  }
  if (in_arena(address)) {
    std::fprintf(stderr, "[cudasim] host-access: host code touches device memory: %s\n    at %s\n",
                 describe(address).c_str(), line_of(as_return_address(context)).c_str());
    _exit(kExitAfterHostAccess);
  }
  std::signal(signal, SIG_DFL);  // not ours: fault again, and end
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

void catch_faults_of_this_thread() {
  constexpr std::size_t kBytes = std::size_t{256} << 10U;
  static thread_local std::unique_ptr<char[]> stack;
  if (stack == nullptr) {
    stack = std::make_unique<char[]>(kBytes);
    stack_t signal_stack{};
    signal_stack.ss_sp = stack.get();
    signal_stack.ss_size = kBytes;
    sigaltstack(&signal_stack, nullptr);
  }
  static const bool kInstalled = (install_handler(), true);
  static_cast<void>(kInstalled);
}

}  // namespace cudasim
