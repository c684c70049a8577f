// Two passes over x and dout, from memory (channel_rows.cuh): for the two sums of each channel, in double, and for dx.
// 20 bytes a float; floor on an H100 at 3.35 TB/s for the 6.3 million floats of (64, 64, 96, 16): 38 us, or 23 where
// the sums are given. 6 operations in double a float, at half the rate of statistics: 80 to 90 % of the floor is to be
// expected; what fits L2 (50 MB for x and dout) is read from there the second time and can beat it.
#include "kernels/cuda/batch_norm.cuh"
#include "kernels/dispatch.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kPairsAhead = 2;  // rows of two loads each: more would not fit the registers

template <class T, int N>
struct ValueAndGradient {
  Vector<T, N> x;
  Vector<T, N> dout;
};

/// Sums of dz and of dz * (x - mean), dz being the gradient before ReLU.
template <class T, int N>
struct GradientTerms {
  static constexpr int kAhead = kPairsAhead;
  const T* x;
  const T* dout;
  Normalisation<T> norm;

  struct Channels {
    Affines<T, N> map;
    Vector<T, N> mean;
  };
  __device__ Channels at(std::int64_t channel) const {
    return {{norm, channel}, load_vector<N>(norm.mean + channel, 0)};
  }
  __device__ ValueAndGradient<T, N> load(std::int64_t i) const {
    return {load_vector<N>(x + i, 0), load_vector<N>(dout + i, 0)};
  }
  __device__ void add(const Channels& c, const ValueAndGradient<T, N>& v, int k, double& first, double& second) const {
    const auto dz = static_cast<double>(c.map.through_relu(norm.relu, k, v.x[k], v.dout[k]));
    first += dz;
    second += dz * (static_cast<double>(v.x[k]) - static_cast<double>(c.mean[k]));
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
template <class T, int N>
__global__ void __launch_bounds__(kChannelThreads)
    input_gradient_kernel(const T* x, const T* dout, const Normalisation<T> norm, const T* dgamma, const T* dbeta,
                          T share, const ChannelRows r, T* dx) {
  const ChannelPlace<N> at(r);
  if (at.active) {
    const Affines<T, N> map(norm, at.channel);
    const Vector<T, N> mean = load_vector<N>(norm.mean + at.channel, 0);
    const Vector<T, N> inverse_deviation = load_vector<N>(norm.inverse_deviation + at.channel, 0);
    const Vector<T, N> gamma_sum = load_vector<N>(dgamma + at.channel, 0);
    const Vector<T, N> beta_sum = load_vector<N>(dbeta + at.channel, 0);
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
          return ValueAndGradient<T, N>{load_vector<N>(x + i, 0), load_vector<N>(dout + i, 0)};
        },
        [&](std::int64_t i, const ValueAndGradient<T, N>& v) {
          Vector<T, N> d;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const T dz = map.through_relu(norm.relu, k, v.x[k], v.dout[k]);
            d[k] = dz * map.map[k].slope + ((v.x[k] - mean[k]) * per_x[k] + constant[k]);
          }
          store_vector<N>(dx, i / N, d);
        });
  }
}

template <class T, int N>
void parameter_gradients(const BatchNormBackward& b, std::int64_t rows, std::int64_t channels) {
  const BatchNormForward& a = b.forward;
  const GradientTerms<T, N> terms{a.x.data<T>(), b.dout.data<T>(), Normalisation<T>(a)};
  const Tensor partials = channel_sums<N>(terms, rows, channels, a.x.device());
  launch(parameter_gradients_kernel<T>, warp_per_channel(channels), partials.data<double>(), partials.dim(2), channels,
         a.inverse_deviation.data<T>(), b.dgamma.mutable_data<T>(), b.dbeta.mutable_data<T>());
}

template <class T>
void backward_as(const BatchNormBackward& b) {
  const BatchNormForward& a = b.forward;
  const std::int64_t channels = a.x.dim(-1);
  const std::int64_t rows = a.x.numel() / channels;
  const T* x = a.x.data<T>();
  const T* dout = b.dout.data<T>();
  T* dx = b.dx.mutable_data<T>();
  const T* dgamma = b.dgamma.data<T>();
  const T* dbeta = b.dbeta.data<T>();
  const Normalisation<T> norm(a);
  with_channel_vectors<T>(
      channels, {x, dout, dx, dgamma, dbeta, norm.mean, norm.inverse_deviation, norm.gamma, norm.beta}, [&]<int N>() {
        if (!b.sums_given) {
          parameter_gradients<T, N>(b, rows, channels);
        }
        const T share = b.training && rows > 0 ? T{1} / static_cast<T>(rows) : T{0};
        const ChannelLaunch l = channel_launch<N>(rows, channels, kMostBlocks);
        launch(input_gradient_kernel<T, N>, l.grid, x, dout, norm, dgamma, dbeta, share, l.layout, dx);
      });
}

}  // namespace

void batch_norm_backward(const BatchNormBackward& b) {
  if (b.dgamma.numel() > 0) {
    dispatch_float(b.forward.x.dtype(), [&]<class T>() { backward_as<T>(b); });
  }
}

}  // namespace earmark::kernels::cuda
