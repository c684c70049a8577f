// Memory sets the pace: a thread keeps 16 bytes of channels and marches over rows (channel_rows.cuh).
//   statistics  4 bytes a float, 2 in bf16: x once. Sums of d and d^2 with d = x - x[0], in double: the shift being one
//               of the values, at most rows * 1e-16 of the variance is lost, however large the mean; partial sums just
//               add up.
//   moments     as statistics; merging those of several ranks reads 16 bytes a channel and rank: a launch's latency.
//   forward     8 bytes, 4 in bf16: x read, out written.
// Floor on an H100 at 3.35 TB/s, for the 6.3 million elements of (64, 64, 96, 16): 7.5 and 15 us, in bf16 3.8 and 7.5.
// The sums take 4 operations in double an element, at that rate 3.4 of its 34 TFLOP/s, 6.7 in bf16: 80 to 90 % of the
// floor is to be expected. Maps under a megabyte cost the latency of their launches.
#include "kernels/cuda/batch_norm.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cuda {
namespace {

/// Sums of x - shift and of its square, the shift being the channel's first value.
template <class M, int N>
struct MomentTerms {
  static constexpr int kAhead = kRowsAhead;
  const M* x;

  struct Channels {
    double shift[N];
  };
  __device__ Channels at(std::int64_t channel) const {
    const Vector<M, N> first = load_vector<N>(x + channel, 0);
    Channels c;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      c.shift[k] = static_cast<double>(widen(first[k]));
    }
    return c;
  }
  __device__ Vector<M, N> load(std::int64_t i) const { return load_vector<N>(x + i, 0); }
  __device__ void add(const Channels& c, const Vector<M, N>& v, int k, double& first, double& second) const {
    const double d = static_cast<double>(widen(v[k])) - c.shift[k];
    first += d;
    second += d * d;
  }
};

template <class T>
struct MomentResults {
  double epsilon;
  double momentum;
  T* mean;
  T* inverse_deviation;
  T* running_mean;  // or null
  T* running_variance;
};

template <class T>
__device__ void move_towards(T& running, double value, double momentum) {
  running += static_cast<T>(momentum * (value - static_cast<double>(running)));
}

struct ChannelMoments {
  double mean;
  double squares;  // sum of squared differences from it
};

/// From the sums of MomentTerms, whose shift is `first`.
__device__ __forceinline__ ChannelMoments moments_of(const ChannelSums& sums, double first, double rows) {
  const double shifted_mean = sums.first / rows;
  const double squares = sums.second - sums.first * shifted_mean;
  return {first + shifted_mean, squares < 0 ? 0 : squares};  // keeps NaN
}

template <class T>
__device__ __forceinline__ void keep(const MomentResults<T>& to, std::int64_t c, const ChannelMoments& m, double rows) {
  to.mean[c] = static_cast<T>(m.mean);
  to.inverse_deviation[c] = static_cast<T>(1 / sqrt(m.squares / rows + to.epsilon));
  if (to.running_mean != nullptr) {
    move_towards(to.running_mean[c], m.mean, to.momentum);
    move_towards(to.running_variance[c], m.squares / (rows > 1 ? rows - 1 : rows), to.momentum);
  }
}

/// A warp for each channel: from the sums of MomentTerms to what a layer keeps.
template <class M>
__global__ void __launch_bounds__(kChannelThreads)
    moments_kernel(const double* partials, std::int64_t parts, const M* x, std::int64_t rows, std::int64_t channels,
                   const MomentResults<Wide<M>> to) {
  const std::int64_t c = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, parts, channels, c);
  if (threadIdx.x % 32 == 0 && c < channels) {
    const auto count = static_cast<double>(rows);
    keep(to, c, moments_of(sums, static_cast<double>(widen(x[c])), count), count);
  }
}

/// The same, as far as moments (2, C).
template <class M>
__global__ void __launch_bounds__(kChannelThreads)
    own_moments_kernel(const double* partials, std::int64_t parts, const M* x, std::int64_t rows, std::int64_t channels,
                       double* moments) {
  const std::int64_t c = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, parts, channels, c);
  if (threadIdx.x % 32 == 0 && c < channels) {
    const ChannelMoments m = moments_of(sums, static_cast<double>(widen(x[c])), static_cast<double>(rows));
    moments[c] = m.mean;
    moments[channels + c] = m.squares;
  }
}

/// A thread for each channel: moments (parts, 2, C) of `rows` rows each, merged in their order (Chan et al. 1979).
template <class T>
__global__ void __launch_bounds__(kChannelThreads) merge_kernel(const double* moments, std::int64_t parts, double rows,
                                                                std::int64_t channels, const MomentResults<T> to) {
  for (std::int64_t c = thread_index(); c < channels; c += thread_count()) {
    ChannelMoments all{0, 0};
    double count = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      const double* of_part = moments + 2 * part * channels;
      const double delta = of_part[c] - all.mean;
      all.mean += delta * rows / (count + rows);
      all.squares += of_part[channels + c] + delta * delta * count * rows / (count + rows);
      count += rows;
    }
    keep(to, c, all, count);
  }
}

template <class M, int N>
__global__ void __launch_bounds__(kChannelThreads)
    forward_kernel(const M* x, const Normalisation<Wide<M>> norm, const ChannelRows r, M* out) {
  using T = Wide<M>;
  const ChannelPlace<N> at(r);
  if (at.active) {
    const Affines<T, N> map(norm, at.channel);
    for_own_rows(
        r, at, [&](std::int64_t i) { return load_vector<N>(x + i, 0); },
        [&](std::int64_t i, const Vector<M, N>& v) {
          Vector<M, N> y;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const T value = map(k, widen(v[k]));
            y[k] = convert_on_device<M>(norm.relu && value < 0 ? T{0} : value);  // keeps NaN
          }
          store_vector<N>(out, i / N, y);  // as (out + i, 0) nvcc would store element by element
        });
  }
}

template <class T>
__global__ void __launch_bounds__(kChannelThreads)
    affine_kernel(const Normalisation<T> norm, std::int64_t channels, T* slope, T* offset) {
  for (std::int64_t c = thread_index(); c < channels; c += thread_count()) {
    const Affine<T> map = affine_of(norm.mean[c], norm.inverse_deviation[c], norm.gamma[c], norm.beta[c]);
    slope[c] = map.slope;
    offset[c] = map.offset;
  }
}

struct InverseDeviation {
  double epsilon;
  template <class T>
  __device__ T operator()(T variance) const {
    return static_cast<T>(1 / sqrt(static_cast<double>(variance) + epsilon));
  }
};

template <class T>
struct FoldArguments {
  const T* weight;
  const T* bias;  // or null
  const T* gamma;
  const T* beta;
  const T* running_mean;
  const T* running_variance;
  double epsilon;
  T* folded_weight;
  T* folded_bias;
};

/// A block for each output.
template <class T>
__global__ void __launch_bounds__(kChannelThreads) fold_kernel(const FoldArguments<T> a, std::int64_t per_output) {
  const std::int64_t o = blockIdx.x;
  const double slope = static_cast<double>(a.gamma[o]) / sqrt(static_cast<double>(a.running_variance[o]) + a.epsilon);
  for (std::int64_t i = o * per_output + threadIdx.x; i < (o + 1) * per_output; i += kChannelThreads) {
    a.folded_weight[i] = static_cast<T>(static_cast<double>(a.weight[i]) * slope);
  }
  if (threadIdx.x == 0) {
    const double bias = a.bias != nullptr ? static_cast<double>(a.bias[o]) : 0;
    a.folded_bias[o] =
        static_cast<T>(static_cast<double>(a.beta[o]) + (bias - static_cast<double>(a.running_mean[o])) * slope);
  }
}

template <class T>
T* data_or_null(const Tensor& t) {
  return t ? t.mutable_data<T>() : nullptr;
}

template <class T>
MomentResults<T> results_of(const BatchNormStatistics& a) {
  return {a.epsilon,
          a.momentum,
          a.mean.mutable_data<T>(),
          a.inverse_deviation.mutable_data<T>(),
          data_or_null<T>(a.running_mean),
          data_or_null<T>(a.running_variance)};
}

template <class M>
void statistics_as(const BatchNormStatistics& a) {
  const std::int64_t channels = a.x.dim(-1);
  const std::int64_t rows = a.x.numel() / channels;
  const M* x = map_data<M>(a.x);
  with_channel_vectors<M>(channels, {x}, [&]<int N>() {
    const Tensor partials = channel_sums<N>(MomentTerms<M, N>{x}, rows, channels, a.x.device());
    launch(moments_kernel<M>, warp_per_channel(channels), partials.data<double>(), partials.dim(2), x, rows, channels,
           results_of<Wide<M>>(a));
  });
}

template <class M>
void moments_as(const Tensor& of, const Tensor& moments) {
  const std::int64_t channels = of.dim(-1);
  const std::int64_t rows = of.numel() / channels;
  const M* x = map_data<M>(of);
  with_channel_vectors<M>(channels, {x}, [&]<int N>() {
    const Tensor partials = channel_sums<N>(MomentTerms<M, N>{x}, rows, channels, of.device());
    launch(own_moments_kernel<M>, warp_per_channel(channels), partials.data<double>(), partials.dim(2), x, rows,
           channels, moments.mutable_data<double>());
  });
}

template <class M>
void forward_as(const BatchNormForward& a) {
  const std::int64_t channels = a.x.dim(-1);
  const M* x = map_data<M>(a.x);
  M* out = mutable_map_data<M>(a.out);
  const Normalisation<Wide<M>> norm(a);
  with_channel_vectors<M>(channels, {x, out, norm.mean, norm.inverse_deviation, norm.gamma, norm.beta}, [&]<int N>() {
    const ChannelLaunch l = channel_launch<N>(a.x.numel() / channels, channels, kMostBlocks);
    launch(forward_kernel<M, N>, l.grid, x, norm, l.layout, out);
  });
}

}  // namespace

void batch_norm_statistics(const BatchNormStatistics& a) {
  dispatch_map(a.x.dtype(), [&]<class M>() { statistics_as<M>(a); });
}

void batch_norm_moments(const Tensor& x, const Tensor& moments) {
  dispatch_map(x.dtype(), [&]<class M>() { moments_as<M>(x, moments); });
}

void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a) {
  dispatch_float(a.mean.dtype(), [&]<class T>() {
    launch(merge_kernel<T>, over(moments.dim(2), kChannelThreads), moments.data<double>(), moments.dim(0),
           static_cast<double>(rows), moments.dim(2), results_of<T>(a));
  });
}

void batch_norm_forward(const BatchNormForward& a) {
  if (a.x.numel() > 0) {
    dispatch_map(a.x.dtype(), [&]<class M>() { forward_as<M>(a); });
  }
}

void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset) {
  dispatch_float(a.gamma.dtype(), [&]<class T>() {
    launch(affine_kernel<T>, over(a.gamma.numel(), kChannelThreads), Normalisation<T>(a), a.gamma.numel(),
           slope.mutable_data<T>(), offset.mutable_data<T>());
  });
}

void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out) {
  dispatch_float(variance.dtype(), [&]<class T>() {
    map(variance.numel(), InverseDeviation{epsilon}, variance.data<T>(), out.mutable_data<T>());
  });
}

void fold_batch_norm(const FoldBatchNorm& a) {
  const std::int64_t outputs = a.weight.dim(0);
  dispatch_float(a.weight.dtype(), [&]<class T>() {
    const FoldArguments<T> arguments{
        a.weight.data<T>(), data_or_null<T>(a.bias),           a.gamma.data<T>(),
        a.beta.data<T>(),   a.running_mean.data<T>(),          a.running_variance.data<T>(),
        a.epsilon,          a.folded_weight.mutable_data<T>(), a.folded_bias.mutable_data<T>()};
    launch(fold_kernel<T>, blocks(outputs, kChannelThreads), arguments,
           a.weight.numel() / std::max<std::int64_t>(outputs, 1));
  });
}

}  // namespace earmark::kernels::cuda
