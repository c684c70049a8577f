// The running program as its symbol table and debug information describe it: source lines for addresses, names for
// kernels and for __shared__ variables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cudasim {

/// "hash.cu:41" for the call that returns to `return_address`: the innermost line that is not one of the simulator's or
/// the toolkit's headers. The address in hexadecimal where there is no debug information.
const std::string& line_of(const void* return_address);

struct KernelName {
  std::string mangled;
  std::string text;  ///< Without namespaces and parameters: "hash_kernel<float>".
};

/// The kernel whose first instruction is at `function`.
const KernelName& kernel_name(const void* function);

/// A function's static `__shared__` variable: a thread_local one to the compiler, so it lies in the thread's TLS block.
struct SharedVariable {
  std::uintptr_t offset = 0;  ///< From the start of the TLS block.
  std::size_t size = 0;
  std::string name;
};

/// What the program file says about itself.
struct Image {
  std::uintptr_t low = 0;  ///< Where its segments lie in memory.
  std::uintptr_t high = 0;
  std::size_t tls_size = 0;
  std::vector<SharedVariable> shared;  ///< Sorted by offset.
};

/// Read at the first call. A stripped program has no names, and its static __shared__ variables cannot be checked.
const Image& image();

/// The calling thread's TLS block of the program.
char* tls_block();

}  // namespace cudasim
