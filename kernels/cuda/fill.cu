#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.h"
#include "kernels/dispatch.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// Elements are written as bit patterns: only their size matters.
template <class Bits>
__global__ void __launch_bounds__(kThreads) fill_kernel(Bits* to, std::int64_t count, Bits value) {
  for (std::int64_t i = thread_index(); i < count; i += thread_count()) {
    to[i] = value;
  }
}

template <class Bits, class T>
void fill_as(void* to, std::int64_t count, T value) {
  launch(fill_kernel<Bits>, over(count, kThreads), static_cast<Bits*>(to), count, std::bit_cast<Bits>(value));
}

}  // namespace

void fill(void* to, std::int64_t count, DType dtype, double value) {
  dispatch_real(dtype, [&]<class T>() {
    const T element = convert<T>(value);
    if constexpr (sizeof(T) == 1) {
      fill_as<std::uint8_t>(to, count, element);
    } else if constexpr (sizeof(T) == 2) {
      fill_as<std::uint16_t>(to, count, element);
    } else if constexpr (sizeof(T) == 4) {
      fill_as<std::uint32_t>(to, count, element);
    } else {
      fill_as<std::uint64_t>(to, count, element);
    }
  });
}

}  // namespace earmark::kernels::cuda
