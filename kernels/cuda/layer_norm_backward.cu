// Two passes over x and dout, from memory: the sums of every sample (layer_norm.cuh), in double; then dx together with
// the sums over the samples that are dgamma and dbeta, where a thread marches over the samples with the gammas of its
// elements (channel_rows.cuh). Those sums are in double as well, and added up from the blocks' partials by one launch
// more.
// 20 bytes a float, 10 in bf16; the first pass reads the gammas anew for each sample, from L2. Floor on an H100 at 3.35
// TB/s for the 63 million elements of (120, 256, 16, 128): 376 us, 188 in bf16. 8 operations in double an element, at
// that rate 3.3 and 6.7 of 34 TFLOP/s: 70 to 80 % of the floor is to be expected.
#include "kernels/cuda/layer_norm.cuh"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kPairsAhead = 2;  // of two or three loads each: more would not fit the registers

/// Sums of g = dout * gamma and of g * n, n being the normalised value.
template <class M, int V>
struct GradientTerms {
  using T = Wide<M>;
  static constexpr int kAhead = V > 4 ? 1 : kPairsAhead;
  SampleNorm<M> norm;
  const M* dout;

  struct Sample {
    double mean;
    double inverse_deviation;
  };
  struct Loaded {
    Vector<M, V> x;
    Vector<M, V> dout;
    Vector<T, V> gamma;
  };
  __device__ Sample of(std::int64_t n) const {
    return {static_cast<double>(norm.mean[n]), static_cast<double>(norm.inverse_deviation[n])};
  }
  __device__ Loaded load(std::int64_t n, std::int64_t vector) const {
    return {load_vector<V>(norm.x + n * norm.size, vector), load_vector<V>(dout + n * norm.size, vector),
            load_vector<V>(norm.gamma, vector)};
  }
  __device__ void add(const Sample& s, const Loaded& v, int k, double& first, double& second) const {
    const double g = static_cast<double>(widen(v.dout[k])) * static_cast<double>(v.gamma[k]);
    first += g;
    second += g * ((static_cast<double>(norm.activated(v.x[k])) - s.mean) * s.inverse_deviation);
  }
};

/// A warp for each sample: means (2, samples) of what GradientTerms sums.
template <class T>
__global__ void __launch_bounds__(kChannelThreads)
    gradient_means_kernel(const double* partials, std::int64_t pieces, std::int64_t samples, std::int64_t size,
                          T* means) {
  const std::int64_t n = channel_of_warp();
  const ChannelSums sums = sums_of_channel(partials, pieces, samples, n);
  if (threadIdx.x % 32 == 0 && n < samples) {
    means[n] = static_cast<T>(sums.first / static_cast<double>(size));
    means[samples + n] = static_cast<T>(sums.second / static_cast<double>(size));
  }
}

template <class M, int N>
struct PairOfSample {
  Vector<M, N> x;
  Vector<M, N> dout;
  Wide<M> mean, inverse_deviation, gradient, product;
};

/// dx, and partials (2, parts, size) of dgamma and dbeta. means (2, samples): gradient_means_kernel's.
template <class M, int N>
__global__ void __launch_bounds__(kChannelThreads, N > 4 ? 2 : 3)
    backward_kernel(const SampleNorm<M> norm, const M* dout, const Wide<M>* means, const ChannelRows r, M* dx,
                    double* partials) {
  using T = Wide<M>;
  __shared__ double shared[2 * N][kChannelThreads];
  const ChannelPlace<N> at(r);
  double sums[2][N] = {};
  if (at.active) {
    const OfChannels<T, N> gamma(norm.gamma, at.channel);
    for_own_row_numbers<kPairsAhead>(
        r, at,
        [&](std::int64_t n) {
          const std::int64_t i = n * norm.size + at.channel;
          return PairOfSample<M, N>{load_vector<N>(norm.x + i, 0),
                                    load_vector<N>(dout + i, 0),
                                    norm.mean[n],
                                    norm.inverse_deviation[n],
                                    means[n],
                                    means[norm.samples + n]};
        },
        [&](std::int64_t n, const PairOfSample<M, N>& v) {
          Vector<M, N> d;
#pragma unroll
          for (int k = 0; k < N; ++k) {
            const T z = norm.activated(v.x[k]);
            const T g = widen(v.dout[k]);
            const T normal = (z - v.mean) * v.inverse_deviation;
            sums[0][k] += static_cast<double>(g) * static_cast<double>(normal);
            sums[1][k] += static_cast<double>(g);
            const T dz = v.inverse_deviation * (g * gamma[k] - v.gradient - normal * v.product);
            d[k] = convert_on_device<M>(norm.elu && !(z > 0) ? dz * (z + 1) : dz);
          }
          store_vector<N>(dx, (n * norm.size + at.channel) / N, d);
        });
  }
  sum_over_lines(sums, at, r.width, shared);
  if (at.line == 0 && at.active) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      double* to = partials + blockIdx.x * norm.size + at.channel + k;
      to[0] = shared[k][threadIdx.x];
      to[gridDim.x * norm.size] = shared[N + k][threadIdx.x];
    }
  }
}

/// A thread for each element of a sample: adds up the parts.
template <class T>
__global__ void __launch_bounds__(kChannelThreads)
    parameter_gradients_kernel(const double* partials, std::int64_t parts, std::int64_t size, T* dgamma, T* dbeta) {
  for (std::int64_t i = thread_index(); i < size; i += thread_count()) {
    double gamma_sum = 0;
    double beta_sum = 0;
    for (std::int64_t part = 0; part < parts; ++part) {
      gamma_sum += partials[part * size + i];
      beta_sum += partials[(parts + part) * size + i];
    }
    dgamma[i] = static_cast<T>(gamma_sum);
    dbeta[i] = static_cast<T>(beta_sum);
  }
}

template <class M>
void backward_as(const LayerNormBackward& b) {
  using T = Wide<M>;
  constexpr std::int64_t kMostSummingBlocks = 1024;
  const SampleNorm<M> norm(b.forward);
  const Device device = b.forward.x.device();
  const M* dout = map_data<M>(b.dout);
  M* dx = mutable_map_data<M>(b.dx);
  const Tensor means({2, norm.samples}, dtype_of<T>, device);
  with_channel_vectors<M>(norm.size, {norm.x, norm.gamma, dout, dx}, [&]<int N>() {
    const Tensor sums = sample_sums<N>(GradientTerms<M, N>{norm, dout}, norm.samples, norm.size, device);
    launch(gradient_means_kernel<T>, warp_per_channel(norm.samples), sums.data<double>(), sums.dim(2), norm.samples,
           norm.size, means.mutable_data<T>());
    const ChannelLaunch l = channel_launch<N>(norm.samples, norm.size, kMostSummingBlocks);
    const Tensor partials({2, l.parts, norm.size}, DType::f64, device);
    launch(backward_kernel<M, N>, l.grid, norm, dout, means.data<T>(), l.layout, dx, partials.mutable_data<double>());
    launch(parameter_gradients_kernel<T>, over(norm.size, kChannelThreads), partials.data<double>(), l.parts, norm.size,
           b.dgamma.mutable_data<T>(), b.dbeta.mutable_data<T>());
  });
}

}  // namespace

void layer_norm_backward(const LayerNormBackward& b) {
  if (b.dx.numel() > 0) {
    dispatch_map(b.forward.x.dtype(), [&]<class M>() { backward_as<M>(b); });
  } else {
    b.dgamma.fill(0);
    b.dbeta.fill(0);
  }
}

}  // namespace earmark::kernels::cuda
