// Loads and stores of up to 16 bytes at once: a warp then moves 512 bytes an instruction, and memory is kept busy with
// a quarter of the instructions.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace earmark::kernels::cuda {

/// N elements that are moved together, 16 bytes at a time.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Vector {
  static_assert(sizeof(T) * N <= 32);
  T values[N];

  __device__ __forceinline__ T& operator[](int i) { return values[i]; }
  __device__ __forceinline__ const T& operator[](int i) const { return values[i]; }
};

/// How many elements of the larger of two types fill 16 bytes.
template <class T, class U = T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U));

/// The `index`-th group of N elements of x, which is_aligned<N>.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_vector(const T* x, std::int64_t index) {
  return reinterpret_cast<const Vector<T, N>*>(x)[index];
}
template <int N, class T>
__device__ __forceinline__ void store_vector(T* x, std::int64_t index, const Vector<T, N>& v) {
  reinterpret_cast<Vector<T, N>*>(x)[index] = v;
}

/// Whether groups of N elements may be moved: slices of a tensor need not be aligned. On the host.
template <int N, class T>
bool is_aligned(const T* x) {
  return reinterpret_cast<std::uintptr_t>(x) % (sizeof(T) * N) == 0;
}

}  // namespace earmark::kernels::cuda
