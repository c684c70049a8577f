// What forward and backward of batch normalisation share on a GPU: its operands, and y = x * slope + offset of a
// thread's channels. Both passes compute y by the same expression, so they agree on where ReLU is flat.
#pragma once

#include "kernels/batch_norm.h"
#include "kernels/cuda/channel_rows.cuh"
#include "kernels/cuda/maps.h"

namespace earmark::kernels::cuda {

template <class T>
struct Normalisation {
  const T* mean;
  const T* inverse_deviation;
  const T* gamma;
  const T* beta;
  bool relu;

  explicit Normalisation(const BatchNormForward& a)
      : mean(a.mean.data<T>()),
        inverse_deviation(a.inverse_deviation.data<T>()),
        gamma(a.gamma.data<T>()),
        beta(a.beta.data<T>()),
        relu(a.relu) {}
};

template <class T>
struct Affine {
  T slope;
  T offset;
};
template <class T>
__device__ __forceinline__ Affine<T> affine_of(T mean, T inverse_deviation, T gamma, T beta) {
  const T slope = gamma * inverse_deviation;
  return {slope, static_cast<T>(static_cast<double>(beta) - static_cast<double>(mean) * static_cast<double>(slope))};
}

/// y = x * slope + offset of N channels.
template <class T, int N>
struct Affines {
  Affine<T> map[N];

  __device__ Affines(const Normalisation<T>& norm, std::int64_t channel) {
    const OfChannels<T, N> mean(norm.mean, channel);
    const OfChannels<T, N> inverse_deviation(norm.inverse_deviation, channel);
    const OfChannels<T, N> gamma(norm.gamma, channel);
    const OfChannels<T, N> beta(norm.beta, channel);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      map[k] = affine_of(mean[k], inverse_deviation[k], gamma[k], beta[k]);
    }
  }
  __device__ __forceinline__ T operator()(int k, T x) const { return x * map[k].slope + map[k].offset; }
  /// The gradient before ReLU: zero where ReLU was flat.
  __device__ __forceinline__ T through_relu(bool relu, int k, T x, T dout) const {
    return relu && (*this)(k, x) <= 0 ? T{0} : dout;
  }
};

}  // namespace earmark::kernels::cuda
