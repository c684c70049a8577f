// Elementwise kernels: out[i] = f(x[i]) and out[i] = f(a[i], b[i]), 16 bytes at a time where all operands are aligned.
// `f` is a function object; `out` may be one of the operands. Where two types differ in size a thread moves 16 bytes of
// the larger: neighbouring lanes then take neighbouring 8 or 4 bytes of the other, whole lines all the same, where 16
// of those would write the larger side in halves of sectors. Floor: the bytes read and written over 3.35 TB/s (H100),
// 90 % of which is to be expected of functions of up to some twenty operations an element.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"

namespace earmark::kernels::cuda {

inline constexpr int kMapThreads = 256;

/// The last count % N elements are left to as many threads, one each.
template <int N, class F, class In, class Out>
__global__ void __launch_bounds__(kMapThreads) map_kernel(std::int64_t count, F f, const In* x, Out* out) {
  const std::int64_t groups = count / N;
  for (std::int64_t g = thread_index(); g < groups; g += thread_count()) {
    const Vector<In, N> v = load_vector<N>(x, g);
    Vector<Out, N> r;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      r[k] = f(v[k]);
    }
    store_vector<N>(out, g, r);
  }
  const std::int64_t i = groups * N + thread_index();
  if (i < count) {
    out[i] = f(x[i]);
  }
}

template <int N, class F, class In, class Out>
__global__ void __launch_bounds__(kMapThreads)
    map2_kernel(std::int64_t count, F f, const In* a, const In* b, Out* out) {
  const std::int64_t groups = count / N;
  for (std::int64_t g = thread_index(); g < groups; g += thread_count()) {
    const Vector<In, N> left = load_vector<N>(a, g);
    const Vector<In, N> right = load_vector<N>(b, g);
    Vector<Out, N> r;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      r[k] = f(left[k], right[k]);
    }
    store_vector<N>(out, g, r);
  }
  const std::int64_t i = groups * N + thread_index();
  if (i < count) {
    out[i] = f(a[i], b[i]);
  }
}

/// out[i] = f(x[i]).
template <class F, class In, class Out>
void map(std::int64_t count, F f, const In* x, Out* out) {
  constexpr int kWide = kVector<In, Out>;
  if (is_aligned<kWide>(x) && is_aligned<kWide>(out)) {
    launch(map_kernel<kWide, F, In, Out>, over((count + kWide - 1) / kWide, kMapThreads), count, f, x, out);
  } else {
    launch(map_kernel<1, F, In, Out>, over(count, kMapThreads), count, f, x, out);
  }
}

/// out[i] = f(a[i], b[i]).
template <class F, class In, class Out>
void map2(std::int64_t count, F f, const In* a, const In* b, Out* out) {
  constexpr int kWide = kVector<In, Out>;
  if (is_aligned<kWide>(a) && is_aligned<kWide>(b) && is_aligned<kWide>(out)) {
    launch(map2_kernel<kWide, F, In, Out>, over((count + kWide - 1) / kWide, kMapThreads), count, f, a, b, out);
  } else {
    launch(map2_kernel<1, F, In, Out>, over(count, kMapThreads), count, f, a, b, out);
  }
}

}  // namespace earmark::kernels::cuda
