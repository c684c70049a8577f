// Two passes over x and dout, from memory (channel_rows.cuh): for the two sums of each channel, in double, and for dx.
// 20 bytes a float, 10 in bf16. Floor on an H100 at 3.35 TB/s for the 6.3 million elements of (64, 64, 96, 16): 38 us,
// or 23 where the sums are given, in bf16 half of that. 6 operations in double an element, at half the rate of
// statistics: 80 to 90 % of the floor is to be expected; what fits L2 (50 MB for x and dout) is read from there the
// second time and can beat it.
#include "kernels/cuda/batch_norm.cuh"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kPairsAhead = 2;  // rows of two loads each: more would not fit the registers

template <class M, int N>
struct ValueAndGradient {
  Vector<M, N> x;
  Vector<M, N> dout;
};

/// Sums of dz and of dz * (x - mean), dz being the gradient before ReLU.
template <class M, int N>
struct GradientTerms {
  using T = Wide<M>;
  static constexpr int kAhead = kPairsAhead;
  const M* x;
  const M* dout;
  Normalisation<T> norm;

  struct Channels {
    Affines<T, N> map;
    OfChannels<T, N> mean;
  };
  __device__ Channels at(std::int64_t channel) const { return {{norm, channel}, {norm.mean, channel}}; }
  __device__ ValueAndGradient<M, N> load(std::int64_t i) const {
    return {load_vector<N>(x + i, 0), load_vector<N>(dout + i, 0)};
  }
  __device__ void add(const Channels& c, const ValueAndGradient<M, N>& v, int k, double& first, double& second) const {
    const T x_k = widen(v.x[k]);
    const auto dz = static_cast<double>(c.map.through_relu(norm.relu, k, x_k, widen(v.dout[k])));
    first += dz;
    second += dz * (static_cast<double>(x_k) - static_cast<double>(c.mean[k]));
  }
};

/// A warp for each channel: from the sums of GradientTerms to the gradients of beta and gamma.
template <class T>
__global__ void __launch_bounds__(kChannelThreads)
    parameter_gradients_kernel(const double* partials, std::int64_t parts, std::int64_t channels,
                               const T* inverse_deviation, T* dgamma, T* dbeta) {
  const std::int64_t c = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, parts, channels, c);
  if (threadIdx.x % 32 == 0 && c < channels) {
    dbeta[c] = static_cast<T>(sums.first);
    dgamma[c] = static_cast<T>(sums.second * static_cast<double>(inverse_deviation[c]));
  }
}

/// dx = slope * dz + per_x * (x - mean) + constant. `share` is 1 / rows where the batch gave the statistics, else 0.
template <class M, int N>
__global__ void __launch_bounds__(kChannelThreads)
    input_gradient_kernel(const M* x, const M* dout, const Normalisation<Wide<M>> norm, const Wide<M>* dgamma,
                          const Wide<M>* dbeta, Wide<M> share, const ChannelRows r, M* dx) {
  using T = Wide<M>;
  const ChannelPlace<N> at(r);
  if (at.active) {
    const Affines<T, N> map(norm, at.channel);
    const OfChannels<T, N> mean(norm.mean, at.channel);
    const OfChannels<T, N> inverse_deviation(norm.inverse_deviation, at.channel);
    const OfChannels<T, N> gamma_sum(dgamma, at.channel);
    const OfChannels<T, N> beta_sum(dbeta, at.channel);
    T per_x[N];
    T constant[N];
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T each = -map.map[k].slope * share;
      per_x[k] = each * gamma_sum[k] * inverse_deviation[k];
      constant[k] = each * beta_sum[k];
    }
    for_own_rows<N, kPairsAhead>(
        r, at,
        [&](std::int64_t i) {
          return ValueAndGradient<M, N>{load_vector<N>(x + i, 0), load_vector<N>(dout + i, 0)};
        },
        [&](std::int64_t i, const ValueAndGradient<M, N>& v) {
          Vector<M, N> d;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const T x_k = widen(v.x[k]);
            const T dz = map.through_relu(norm.relu, k, x_k, widen(v.dout[k]));
            d[k] = convert_on_device<M>(dz * map.map[k].slope + ((x_k - mean[k]) * per_x[k] + constant[k]));
          }
          store_vector<N>(dx, i / N, d);
        });
  }
}

template <class M, int N>
void parameter_gradients(const BatchNormBackward& b, std::int64_t rows, std::int64_t channels) {
  using T = Wide<M>;
  const BatchNormForward& a = b.forward;
  const GradientTerms<M, N> terms{map_data<M>(a.x), map_data<M>(b.dout), Normalisation<T>(a)};
  const Tensor partials = channel_sums<N>(terms, rows, channels, a.x.device());
  launch(parameter_gradients_kernel<T>, warp_per_channel(channels), partials.data<double>(), partials.dim(2), channels,
         a.inverse_deviation.data<T>(), b.dgamma.mutable_data<T>(), b.dbeta.mutable_data<T>());
}

template <class M>
void backward_as(const BatchNormBackward& b) {
  using T = Wide<M>;
  const BatchNormForward& a = b.forward;
  const std::int64_t channels = a.x.dim(-1);
  const std::int64_t rows = a.x.numel() / channels;
  const M* x = map_data<M>(a.x);
  const M* dout = map_data<M>(b.dout);
  M* dx = mutable_map_data<M>(b.dx);
  const T* dgamma = b.dgamma.data<T>();
  const T* dbeta = b.dbeta.data<T>();
  const Normalisation<T> norm(a);
  with_channel_vectors<M>(
      channels, {x, dout, dx, dgamma, dbeta, norm.mean, norm.inverse_deviation, norm.gamma, norm.beta}, [&]<int N>() {
        if (!b.sums_given) {
          parameter_gradients<M, N>(b, rows, channels);
        }
        const std::int64_t summed = b.rows == 0 ? rows : b.rows;
        const T share = b.training && summed > 0 ? T{1} / static_cast<T>(summed) : T{0};
        const ChannelLaunch l = channel_launch<N>(rows, channels, kMostBlocks);
        launch(input_gradient_kernel<M, N>, l.grid, x, dout, norm, dgamma, dbeta, share, l.layout, dx);
      });
}

template <class M>
void gradient_sums_as(const BatchNormBackward& b) {
  const BatchNormForward& a = b.forward;
  const std::int64_t channels = a.x.dim(-1);
  const Normalisation<Wide<M>> norm(a);
  with_channel_vectors<M>(
      channels, {map_data<M>(a.x), map_data<M>(b.dout), norm.mean, norm.inverse_deviation, norm.gamma, norm.beta},
      [&]<int N>() { parameter_gradients<M, N>(b, a.x.numel() / channels, channels); });
}

}  // namespace

void batch_norm_gradient_sums(const BatchNormBackward& b) {
  if (b.dgamma.numel() > 0) {
    dispatch_map(b.forward.x.dtype(), [&]<class M>() { gradient_sums_as<M>(b); });
  }
}

void batch_norm_backward(const BatchNormBackward& b) {
  if (b.dgamma.numel() > 0) {
    dispatch_map(b.forward.x.dtype(), [&]<class M>() { backward_as<M>(b); });
  }
}

}  // namespace earmark::kernels::cuda
