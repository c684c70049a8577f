// What forward and backward of layer normalisation share on a GPU: the operands, ELU, and two sums over every sample,
// in double: blocks add pieces of a sample into partials, and a warp for each sample adds up those. Both orders are
// fixed by the shapes: the same bits every time.
// Floor on an H100: a map read once over 3.35 TB/s, 75 us for the 63 million floats of (120, 256, 16, 128), and 4
// operations in double for each element, which stay below it (3.4 of 34 TFLOP/s; 6.7 of bf16 elements): 80 to 90 % of
// it is to be expected, as each thread has four loads of 16 bytes under way. The partials, one pair for some 16,000
// elements, are nothing beside the map.
#pragma once

#include "kernels/cuda/channel_rows.cuh"
#include "kernels/cuda/maps.h"
#include "kernels/layer_norm.h"

namespace earmark::kernels::cuda {

inline constexpr int kSampleThreads = 256;

__device__ __forceinline__ float elu_of(float v) { return v > 0 ? v : expm1f(v); }
__device__ __forceinline__ double elu_of(double v) { return v > 0 ? v : expm1(v); }

/// Operands of a layer whose maps are stored as M.
template <class M>
struct SampleNorm {
  using T = Wide<M>;
  const M* x;
  const T* gamma;
  const T* beta;
  T* mean;
  T* inverse_deviation;
  std::int64_t samples;
  std::int64_t size;  // elements of a sample
  double epsilon;
  bool elu;

  explicit SampleNorm(const LayerNormForward& a)
      : x(map_data<M>(a.x)),
        gamma(a.gamma.data<T>()),
        beta(a.beta.data<T>()),
        mean(a.mean.mutable_data<T>()),
        inverse_deviation(a.inverse_deviation.mutable_data<T>()),
        samples(a.x.dim(0)),
        size(a.gamma.numel()),
        epsilon(a.epsilon),
        elu(a.elu) {}

  /// What is normalised.
  __device__ __forceinline__ T activated(M value) const {
    const T v = widen(value);
    return elu ? elu_of(v) : v;
  }
};

/// partials (2, samples, pieces) = two sums over `per_piece` vectors of V elements of a sample. `Terms` has
///   kAhead                       vectors that a thread loads at once
///   Sample of(sample)            what all its elements need, in registers
///   Loaded load(sample, vector)  from memory
///   void add(of, loaded, k, first, second)  element k's two terms
template <int V, class Terms>
__global__ void __launch_bounds__(kSampleThreads)
    sample_sums_kernel(const Terms terms, std::int64_t vectors, std::int64_t per_piece, std::int64_t pieces,
                       double* partials) {
  const std::int64_t sample = blockIdx.x / pieces;
  const std::int64_t begin = blockIdx.x % pieces * per_piece;
  const std::int64_t end = begin + per_piece < vectors ? begin + per_piece : vectors;
  const auto of = terms.of(sample);
  double first = 0;
  double second = 0;
  const auto use = [&](const auto& loaded) {
#pragma unroll
    for (int k = 0; k < V; ++k) {
      terms.add(of, loaded, k, first, second);
    }
  };
  std::int64_t v = begin + threadIdx.x;
  // Not unrolled further than by hand: pairs of bf16 would not fit the registers.
#pragma unroll 1
  for (; v + (Terms::kAhead - 1) * kSampleThreads < end; v += Terms::kAhead * kSampleThreads) {
    decltype(terms.load(sample, v)) loaded[Terms::kAhead];
#pragma unroll
    for (int i = 0; i < Terms::kAhead; ++i) {
      loaded[i] = terms.load(sample, v + i * kSampleThreads);
    }
#pragma unroll
    for (int i = 0; i < Terms::kAhead; ++i) {
      use(loaded[i]);
    }
  }
#pragma unroll 1
  for (; v < end; v += kSampleThreads) {
    use(terms.load(sample, v));
  }
  first = block_sum<kSampleThreads>(first);
  second = block_sum<kSampleThreads>(second);
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = first;
    partials[gridDim.x + blockIdx.x] = second;
  }
}

/// Fills partials (2, samples, pieces), and returns them. sums_of_channel() adds up a sample's.
template <int V, class Terms>
Tensor sample_sums(const Terms& terms, std::int64_t samples, std::int64_t size, Device device) {
  constexpr std::int64_t kVectorsOfPiece = std::int64_t{16} * kSampleThreads;
  const std::int64_t vectors = size / V;
  const std::int64_t pieces = (vectors + kVectorsOfPiece - 1) / kVectorsOfPiece;
  Tensor partials({2, samples, pieces}, DType::f64, device);
  launch(sample_sums_kernel<V, Terms>, blocks(samples * pieces, kSampleThreads), terms, vectors, kVectorsOfPiece,
         pieces, partials.mutable_data<double>());
  return partials;
}

}  // namespace earmark::kernels::cuda
