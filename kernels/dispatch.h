// From run-time device to compiled code. The only place that knows which backends are built in: the files that ask
// are told by CMakeLists.txt, and no other includes this header, so that all others are compiled once for all builds.
#pragma once

#include <utility>

#include "kernels/cuda/memory.h"
#include "kernels/device.h"
#include "kernels/dispatch_type.h"
#include "kernels/error.h"

#ifndef EARMARK_CUDA
#error "whoever includes kernels/dispatch.h must be named in CMakeLists.txt, which says whether CUDA is built in"
#endif

namespace earmark {

inline constexpr bool kBuiltWithCuda = EARMARK_CUDA != 0;

/// Calls the implementation that owns `device`: `run_on<cpu::f, cuda::f>(device, args...)`, with its GPU made current.
/// In a CPU-only build the CUDA function is named but never linked, so no stub files are needed.
template <auto cpu, auto cuda, class... Args>
auto run_on(Device device, Args&&... args) {
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      kernels::cuda::make_current(device.index);
      return cuda(std::forward<Args>(args)...);
    }
  }
  check(device.backend == Backend::cpu, "this build has no CUDA backend");
  return cpu(std::forward<Args>(args)...);
}

}  // namespace earmark
