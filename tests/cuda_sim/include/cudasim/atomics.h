// Atomic operations. The blocks of a launch take turns on one OS thread, so a plain read, change and write is atomic.
#pragma once

#include <type_traits>

#include "cudasim/warp.h"

namespace cudasim {

/// Checks the place, and that all who share it use atomics. The caller is inlined: the return address is the kernel's.
void atomic_access(const volatile void* place, unsigned bytes);

template <class T>
concept AtomicNumber = std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, long long> ||
    std::is_same_v<T, unsigned long long>;

/// The access itself, which no hook is to see.
template <class T, class Change>
__attribute__((no_sanitize("thread"), noinline)) T change(T* place, Change next) {
  const T before = *place;
  *place = next(before);
  return before;
}

template <AtomicNumber T, class Change>
CUDASIM_IN_KERNEL T atomic(T* place, Change next) {
  atomic_access(place, sizeof(T));
  return change(place, next);
}

}  // namespace cudasim

template <class T>
CUDASIM_IN_KERNEL T atomicAdd(T* place, std::type_identity_t<T> value) {
  return cudasim::atomic(place, [value](T before) { return static_cast<T>(before + value); });
}
template <class T>
CUDASIM_IN_KERNEL T atomicMax(T* place, std::type_identity_t<T> value) {
  return cudasim::atomic(place, [value](T before) { return value > before ? value : before; });
}
template <class T>
CUDASIM_IN_KERNEL T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return cudasim::atomic(place, [=](T before) { return before == expected ? value : before; });
}
