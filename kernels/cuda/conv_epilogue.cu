// One pass over the result of a convolution, or over its gradient: a thread keeps 16 bytes of channels and their
// biases, or the sums of its gradients, which a warp for each channel then adds up (channel_rows.cuh). Floor on an H100
// at 3.35 TB/s: 8 bytes a float, 12 with a residual, 4 for the bias's gradient; half of that in bf16. Up to three
// operations an element are a thirtieth of it; the gradient's addition in double is a fifth in bf16. 90 % of it is to
// be expected, and 80 to 90 % of the gradient's.
#include "kernels/cuda/channel_rows.cuh"
#include "kernels/cuda/conv_epilogue.h"
#include "kernels/cuda/maps.h"

namespace earmark::kernels::cuda {
namespace {

template <class T, int N>
struct OutAndAdd {
  Vector<T, N> out;
  Vector<T, N> add;
};

template <class T, int N>
__global__ void __launch_bounds__(kChannelThreads)
    conv_epilogue_kernel(T* out, const T* bias, const T* add, bool relu, const ChannelRows r) {
  const ChannelPlace<N> at(r);
  if (at.active) {
    const Vector<T, N> shift = bias != nullptr ? load_vector<N>(bias + at.channel, 0) : Vector<T, N>{};
    const auto load = [&](std::int64_t i) {
      OutAndAdd<T, N> v;
      v.out = load_vector<N>(out + i, 0);
      v.add = add != nullptr ? load_vector<N>(add + i, 0) : Vector<T, N>{};
      return v;
    };
    for_own_rows(r, at, load, [&](std::int64_t i, const OutAndAdd<T, N>& v) {
      Vector<T, N> y;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const Wide<T> sum = (widen(v.out[k]) + widen(shift[k])) + widen(v.add[k]);
        y[k] = convert_on_device<T>(relu && sum < 0 ? Wide<T>{0} : sum);  // keeps NaN
      }
      store_vector<N>(out, i / N, y);
    });
  }
}

/// The gradient itself, for channel_sums; its second sum is not used.
template <class T, int N>
struct BiasTerms {
  static constexpr int kAhead = kRowsAhead;
  const T* dout;

  struct Channels {};
  __device__ Channels at(std::int64_t /*channel*/) const { return {}; }
  __device__ Vector<T, N> load(std::int64_t i) const { return load_vector<N>(dout + i, 0); }
  __device__ void add(const Channels& /*channels*/, const Vector<T, N>& v, int k, double& first,
                      double& /*second*/) const {
    first += static_cast<double>(widen(v[k]));
  }
};

/// A warp for each channel: the sum of its partials.
template <class T>
__global__ void __launch_bounds__(kChannelThreads)
    bias_kernel(const double* partials, std::int64_t parts, std::int64_t channels, T* dbias) {
  const std::int64_t c = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, parts, channels, c);
  if (threadIdx.x % 32 == 0 && c < channels) {
    dbias[c] = convert_on_device<T>(sums.first);
  }
}

}  // namespace

void conv_bias_gradient(const Tensor& dout, const Tensor& dbias) {
  const std::int64_t channels = dbias.numel();
  dispatch_floating(dout.dtype(), [&]<class T>() {
    const auto* from = reinterpret_cast<const T*>(dout.raw());
    with_channel_vectors<T>(channels, {from}, [&]<int N>() {
      const Tensor partials = channel_sums<N>(BiasTerms<T, N>{from}, dout.numel() / channels, channels, dout.device());
      launch(bias_kernel<T>, warp_per_channel(channels), partials.data<double>(), partials.dim(2), channels,
             reinterpret_cast<T*>(dbias.raw()));
    });
  });
}

void conv_epilogue(const Tensor& out, const Tensor& bias, const Tensor& add, bool relu) {
  const std::int64_t channels = out.dim(-1);
  dispatch_floating(out.dtype(), [&]<class T>() {
    auto* to = reinterpret_cast<T*>(out.raw());
    const auto* from = add ? reinterpret_cast<const T*>(add.raw()) : nullptr;
    const auto* shift = bias ? reinterpret_cast<const T*>(bias.raw()) : nullptr;
    with_channel_vectors<T>(channels, {to, from, shift}, [&]<int N>() {
      const ChannelLaunch l = channel_launch<N>(out.numel() / channels, channels, kMostBlocks);
      launch(conv_epilogue_kernel<T, N>, l.grid, to, shift, from, relu, l.layout);
    });
  });
}

}  // namespace earmark::kernels::cuda
