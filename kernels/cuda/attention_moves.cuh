// How attention's threads move the N neighbouring channels that each of them has: up to 16 bytes of a map, which are up
// to eight floats in registers and in shared memory.
#pragma once

#include "kernels/cuda/maps.h"
#include "kernels/cuda/vector.cuh"

namespace earmark::kernels::cuda {

/// N elements in two parts, each of which has the alignment of a vector: eight floats are two moves of 16 bytes.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_halves(const T* first, const T* second) {
  const auto a = *reinterpret_cast<const Vector<T, N / 2>*>(first);
  const auto b = *reinterpret_cast<const Vector<T, N / 2>*>(second);
  Vector<T, N> v;
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    v[k] = a[k];
    v[N / 2 + k] = b[k];
  }
  return v;
}
template <int N, class T>
__device__ __forceinline__ void store_halves(T* first, T* second, const Vector<T, N>& v) {
  Vector<T, N / 2> a;
  Vector<T, N / 2> b;
#pragma unroll
  for (int k = 0; k < N / 2; ++k) {
    a[k] = v[k];
    b[k] = v[N / 2 + k];
  }
  *reinterpret_cast<Vector<T, N / 2>*>(first) = a;
  *reinterpret_cast<Vector<T, N / 2>*>(second) = b;
}

/// The N elements from an address on, which has their alignment.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_at(const T* x) {
  if constexpr (sizeof(T) * N > 16) {
    return load_halves<N>(x, x + N / 2);
  } else {
    return *reinterpret_cast<const Vector<T, N>*>(x);
  }
}
template <int N, class T>
__device__ __forceinline__ void store_at(T* x, const Vector<T, N>& v) {
  if constexpr (sizeof(T) * N > 16) {
    store_halves<N>(x, x + N / 2, v);
  } else {
    *reinterpret_cast<Vector<T, N>*>(x) = v;
  }
}

/// Where the first half of eight floats lies that belong to the slab's elements from i on; the second half has the
/// other place, 4 further or 4 before. Eight lanes, which are served together, have neighbouring columns, or rows an
/// odd number of columns apart: 256 bytes in steps of 32, of which they move every second 16. Where the halves change
/// places every 128 bytes, those are in 32 different banks.
__device__ __forceinline__ int first_half(int i) { return i ^ (i >> 3 & 4); }

/// N channels of the slab in shared memory, from element i on.
template <int N, class T>
__device__ __forceinline__ Vector<T, N> load_slab(const T* slab, int i) {
  if constexpr (sizeof(T) * N > 16) {
    return load_halves<N>(slab + first_half(i), slab + (first_half(i) ^ 4));
  } else {
    return load_at<N>(slab + i);
  }
}
template <int N, class T>
__device__ __forceinline__ void store_slab(T* slab, int i, const Vector<T, N>& v) {
  if constexpr (sizeof(T) * N > 16) {
    store_halves<N>(slab + first_half(i), slab + (first_half(i) ^ 4), v);
  } else {
    store_at<N>(slab + i, v);
  }
}

/// N elements of a map, in the type that is computed in, and back.
template <int N, class M>
__device__ __forceinline__ Vector<Wide<M>, N> load_wide(const M* x) {
  const Vector<M, N> stored = load_at<N>(x);
  Vector<Wide<M>, N> v;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    v[k] = widen(stored[k]);
  }
  return v;
}
template <int N, class M>
__device__ __forceinline__ void store_rounded(M* x, const Vector<Wide<M>, N>& v) {
  Vector<M, N> stored;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    stored[k] = convert_on_device<M>(v[k]);
  }
  store_at<N>(x, stored);
}

}  // namespace earmark::kernels::cuda
