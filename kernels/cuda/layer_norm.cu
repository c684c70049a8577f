// Memory sets the pace. Two passes over x: the sums of every sample (layer_norm.cuh), of d and d^2 with d = z - z[0] in
// double, so that at most size * 1e-16 of the variance is lost however large the mean; then out, where a thread keeps
// gamma and beta of its elements and marches over the samples (channel_rows.cuh, an element of a sample being a
// channel).
// 12 bytes a float, 6 in bf16. Floor on an H100 at 3.35 TB/s for the 63 million elements of (120, 256, 16, 128), NAFP's
// largest: 225 us, 113 in bf16. The sums take 4 operations in double an element, at that rate 3.4 of its 34 TFLOP/s,
// and ELU some 20 in float in either pass, 10 of 67 TFLOP/s: 80 % of the floor is to be expected, in bf16 60 to 70.
// Maps under a megabyte cost the latency of their three launches.
#include "kernels/cuda/layer_norm.cuh"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cuda {
namespace {

/// Sums of z - shift and of its square, the shift being the sample's first value.
template <class M, int V>
struct MomentTerms {
  static constexpr int kAhead = 4;
  SampleNorm<M> norm;

  struct Sample {
    double shift;
  };
  __device__ Sample of(std::int64_t sample) const {
    return {static_cast<double>(norm.activated(norm.x[sample * norm.size]))};
  }
  __device__ Vector<M, V> load(std::int64_t sample, std::int64_t vector) const {
    return load_vector<V>(norm.x + sample * norm.size, vector);
  }
  __device__ void add(const Sample& s, const Vector<M, V>& x, int k, double& first, double& second) const {
    const double d = static_cast<double>(norm.activated(x[k])) - s.shift;
    first += d;
    second += d * d;
  }
};

/// A warp for each sample: from the sums of MomentTerms to its mean and deviation.
template <class M>
__global__ void __launch_bounds__(kChannelThreads)
    moments_kernel(const double* partials, std::int64_t pieces, const SampleNorm<M> norm) {
  using T = Wide<M>;
  const std::int64_t n = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, pieces, norm.samples, n);
  if (threadIdx.x % 32 == 0 && n < norm.samples) {
    const auto count = static_cast<double>(norm.size);
    const double shifted_mean = sums.first / count;
    double squares = sums.second - sums.first * shifted_mean;
    squares = squares < 0 ? 0 : squares;  // keeps NaN
    norm.mean[n] = static_cast<T>(static_cast<double>(norm.activated(norm.x[n * norm.size])) + shifted_mean);
    norm.inverse_deviation[n] = static_cast<T>(1 / sqrt(squares / count + norm.epsilon));
  }
}

template <class M, int N>
struct ValueOfSample {
  Vector<M, N> x;
  Wide<M> mean;
  Wide<M> inverse_deviation;
};

template <class M, int N>
__global__ void __launch_bounds__(kChannelThreads)
    forward_kernel(const SampleNorm<M> norm, const ChannelRows r, M* out) {
  using T = Wide<M>;
  const ChannelPlace<N> at(r);
  if (at.active) {
    const OfChannels<T, N> gamma(norm.gamma, at.channel);
    const OfChannels<T, N> beta(norm.beta, at.channel);
    for_own_row_numbers<kRowsAhead>(
        r, at,
        [&](std::int64_t n) {
          return ValueOfSample<M, N>{load_vector<N>(norm.x + n * norm.size + at.channel, 0), norm.mean[n],
                                     norm.inverse_deviation[n]};
        },
        [&](std::int64_t n, const ValueOfSample<M, N>& v) {
          Vector<M, N> y;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const T normal = (norm.activated(v.x[k]) - v.mean) * v.inverse_deviation;
            y[k] = convert_on_device<M>(normal * gamma[k] + beta[k]);
          }
          store_vector<N>(out, (n * norm.size + at.channel) / N, y);
        });
  }
}

template <class M>
void forward_as(const LayerNormForward& a) {
  const SampleNorm<M> norm(a);
  M* out = mutable_map_data<M>(a.out);
  with_channel_vectors<M>(norm.size, {norm.x, out, norm.gamma, norm.beta}, [&]<int N>() {
    const Tensor partials = sample_sums<N>(MomentTerms<M, N>{norm}, norm.samples, norm.size, a.x.device());
    launch(moments_kernel<M>, warp_per_channel(norm.samples), partials.data<double>(), partials.dim(2), norm);
    const ChannelLaunch l = channel_launch<N>(norm.samples, norm.size, kMostBlocks);
    launch(forward_kernel<M, N>, l.grid, norm, l.layout, out);
  });
}

}  // namespace

void layer_norm_forward(const LayerNormForward& a) {
  if (a.x.numel() > 0) {
    dispatch_map(a.x.dtype(), [&]<class M>() { forward_as<M>(a); });
  }
}

}  // namespace earmark::kernels::cuda
