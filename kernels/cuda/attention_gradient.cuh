// What a thread of attention's backward pass keeps of a column or row of its slab.
#pragma once

#include "kernels/cuda/attention_slab.cuh"

namespace earmark::kernels::cuda {

template <int N, class T>
struct ValueAndGradient {
  Vector<T, N> value;
  Vector<T, N> dout;
};

/// The logits and the gate's gradient of one column or row: sums over the slab's elements in it.
template <int N, class T>
struct LogitSums {
  Vector<T, N> gradient{};
  Vector<T, N> logit{};

  __device__ __forceinline__ void add(const ValueAndGradient<N, T>& e, const T* gate, const T* weight) {
    multiply_add(e.value, load_at<N>(weight), logit);
    const Vector<T, N> other = load_at<N>(gate);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      gradient[k] += e.value[k] * e.dout[k] * other[k];
    }
  }
  __device__ __forceinline__ void store(T scale, T* to_gradient, T* to_logit) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      gradient[k] *= scale;
    }
    store_at<N>(to_gradient, gradient);
    store_at<N>(to_logit, logit);
  }
};

/// What one column gives: dx on its way out, and the sums for the gradients of the weights and of what came before.
template <int N, class M, Prologue prologue>
struct ColumnGradient {
  using T = Wide<M>;
  Vector<T, N> gate;      // the temporal one times the scale
  Vector<T, N> dlogit;    // of the column
  Vector<T, N> weight;    // w_spectral of the column
  Vector<T, N> centre{};  // of x
  Vector<T, N> share{};   // sums
  Vector<T, N> sum{};
  Vector<T, N> product{};

  __device__ __forceinline__ Vector<T, N> take(const ValueAndGradient<N, T>& e, const T* dspectral, const T* spectral,
                                               const T* by_row, const M* x) {
    const Vector<T, N> drow = load_at<N>(dspectral);
    const Vector<T, N> row_gate = load_at<N>(spectral);
    const Vector<T, N> row_weight = load_at<N>(by_row);
    Vector<T, N> before{};
    if constexpr (prologue != Prologue::none) {
      before = load_wide<N>(x);
    }
    Vector<T, N> gradient;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      share[k] += e.value[k] * drow[k];
      T g = e.dout[k] * (row_gate[k] * gate[k]) + drow[k] * weight[k] + dlogit[k] * row_weight[k];
      if constexpr (prologue != Prologue::none) {
        g = e.value[k] <= 0 ? T{0} : g;
        sum[k] += g;
        product[k] += g * (before[k] - centre[k]);
      }
      gradient[k] = g;
    }
    return gradient;
  }
};

}  // namespace earmark::kernels::cuda
