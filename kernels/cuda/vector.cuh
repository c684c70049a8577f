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

/// Whether groups of N elements may be moved: slices of a tensor need not be aligned.
template <int N, class T>
__host__ __device__ __forceinline__ bool is_aligned(const T* x) {
  return reinterpret_cast<std::uintptr_t>(x) % (sizeof(T) * N) == 0;
}

/// Elements i to i + N - 1 of x, i a multiple of N; zeros from `end` on. At once where all exist and `wide` says that x
/// is aligned for it. The same elements meet in a thread either way, so that sums of them are the same bits.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_some(const T* x, std::int64_t i, std::int64_t end, bool wide) {
  if (wide && i + N <= end) {
    return load_vector<N>(x, i / N);
  }
  Vector<T, N> v{};
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (i + k < end) {
      v[k] = x[i + k];
    }
  }
  return v;
}
template <int N, class T>
__device__ __forceinline__ void store_some(T* x, std::int64_t i, std::int64_t end, bool wide, const Vector<T, N>& v) {
  if (wide && i + N <= end) {
    store_vector<N>(x, i / N, v);
    return;
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    if (i + k < end) {
      x[i + k] = v[k];
    }
  }
}

}  // namespace earmark::kernels::cuda
