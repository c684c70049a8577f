// The widest vectors of the instruction set, through GCC's vector extensions: one source for SSE2, AVX2 and AVX-512.
// A comparison of NaN is false, so `x < 0 ? 0 : x` lets NaN through.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>

namespace earmark::kernels::cpu {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kVectorRegisters = 32;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kVectorRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kVectorRegisters = 16;
#endif

namespace detail {
template <class T>
struct VectorOf {
  typedef T aligned __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
  typedef T half __attribute__((vector_size(kVectorBytes / 2), aligned(alignof(T)), may_alias));
  typedef T half_aligned __attribute__((vector_size(kVectorBytes / 2)));
};
}  // namespace detail

/// kLanes<T> elements side by side.
template <class T>
using Vec = typename detail::VectorOf<T>::aligned;
template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename detail::VectorOf<T>::unaligned*>(p);
}

template <class T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename detail::VectorOf<T>::unaligned*>(p) = v;
}

/// The first `count` elements, the rest zero; nothing behind them is read.
template <class T>
inline Vec<T> load_first(const T* p, int count) {
  if (count >= kLanes<T>) {
    return load(p);
  }
#if defined(__AVX512F__)
  const auto mask = (1U << static_cast<unsigned>(count)) - 1U;
  if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
  } else {
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), p);
  }
#else
  Vec<T> v{};
  for (int i = 0; i < count; ++i) {
    v[i] = p[i];
  }
  return v;
#endif
}

/// Writes the first `count` elements and nothing behind them.
template <class T>
inline void store_first(T* p, Vec<T> v, int count) {
  if (count >= kLanes<T>) {
    store(p, v);
    return;
  }
#if defined(__AVX512F__)
  const auto mask = (1U << static_cast<unsigned>(count)) - 1U;
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), v);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), v);
  }
#else
  for (int i = 0; i < count; ++i) {
    p[i] = v[i];
  }
#endif
}

/// kLanes<T> / 2 elements side by side.
template <class T>
using HalfVec = typename detail::VectorOf<T>::half_aligned;

/// A whole vector or half of one, from any address.
template <class W, class T>
inline W load_as(const T* p) {
  W v;
  __builtin_memcpy(&v, p, sizeof(W));
  return v;
}

/// The first `count` elements, at most half a vector, the rest zero; nothing behind them is read.
template <class T>
inline HalfVec<T> first_half(const T* p, int count) {
  HalfVec<T> v{};
  __builtin_memcpy(&v, p, static_cast<std::size_t>(count) * sizeof(T));
  return v;
}

/// A whole vector whose upper half is zero.
template <class T>
inline Vec<T> widened(HalfVec<T> half) {
  if constexpr (kLanes<T> == 16) {
    return __builtin_shufflevector(half, HalfVec<T>{}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  } else if constexpr (kLanes<T> == 8) {
    return __builtin_shufflevector(half, HalfVec<T>{}, 0, 1, 2, 3, 4, 5, 6, 7);
  } else {
    Vec<T> v{};
    __builtin_memcpy(&v, &half, sizeof(half));
    return v;
  }
}

/// Half a vector, the rest zero. Quicker than load_first of as many: a whole load of a narrower register.
template <class T>
inline Vec<T> load_half(const T* p) {
  return widened<T>(load_as<HalfVec<T>>(p));
}

template <class T>
inline void store_half(T* p, Vec<T> v) {
  using Half = typename detail::VectorOf<T>::half;
  *reinterpret_cast<Half*>(p) = *reinterpret_cast<const Half*>(&v);
}

/// How many lanes of a vector are valid, as far as it is known when code is compiled.
enum class LaneCount { all, half, some };

/// load_first(p, count), where `count` fits L.
template <LaneCount L, class T>
inline Vec<T> load_lanes(const T* p, int count) {
  if constexpr (L == LaneCount::all) {
    return load(p);
  } else if constexpr (L == LaneCount::half) {
    return load_half(p);
  } else {
    return load_first(p, count);
  }
}
template <LaneCount L, class T>
inline void store_lanes(T* p, Vec<T> v, int count) {
  if constexpr (L == LaneCount::all) {
    store(p, v);
  } else if constexpr (L == LaneCount::half) {
    store_half(p, v);
  } else {
    store_first(p, v, count);
  }
}

template <class T>
inline Vec<T> broadcast(T value) {
  return value - Vec<T>{};  // not zero plus value, which would be an addition: it turns -0 into 0
}

/// Whether a > b in any lane.
inline bool any_greater(Vec<float> a, Vec<float> b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0;
#else
  const auto greater = a > b;
  std::int32_t joined = 0;
  for (int lane = 0; lane < kLanes<float>; ++lane) {
    joined |= greater[lane];
  }
  return joined != 0;
#endif
}

template <class T>
inline Vec<T> relu(Vec<T> v) {
  return v < 0 ? Vec<T>{} : v;
}

}  // namespace earmark::kernels::cpu
