// One pass over the result of a convolution: a thread keeps 16 bytes of channels and their biases (channel_rows.cuh).
// Floor on an H100 at 3.35 TB/s: 8 bytes a float, 12 with a residual; 90 % of it is to be expected.
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

}  // namespace

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
