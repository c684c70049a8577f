// Backward, a slab at a time. A column pass reads X and dout, leaves X in shared memory and adds up what belongs to
// columns: the logits (recomputed, for tanh) and the gradient of the temporal gate; a row pass does the same for rows;
// a warp takes each softmax back; a second column pass writes dx; both kinds of sums of X * dlogits are the slab's
// share of the weight gradients. A second launch adds up the shares of all samples in a fixed order, in double. Floor
// on an H100: x (and the residual) and dout read and dx written at 3.35 TB/s. The row pass and the second column pass
// read dout again, and x where a prologue needs it: a wave's slabs are 26 MB of it, which L2 (50 MB) keeps. 0.36 ms for
// (512, 64, 96, 32), 0.18 in bf16; some 16 operations per element take an eighth of that, and of the whole 60 to 70 %
// is to be expected: L2 moves twice as much, in passes that do not overlap; in bf16 half the bytes are under way, and
// 40 % is.
#include "kernels/cuda/attention_gradient.cuh"
#include "kernels/cuda/attention_shares.cuh"
#include "kernels/cuda/attention_slab.cuh"

namespace earmark::kernels::cuda {
namespace {

template <class M>
struct BackwardArguments {
  using T = Wide<M>;
  SlabInput<M> input;
  const T* w_spectral;
  const T* w_temporal;
  const T* spectral;
  const T* temporal;
  const T* centre;
  bool tanh_logits;
  T scale;
  const M* dout;
  M* dx;
  T* shares;  // (N, T + F + 2, C): of dw_spectral, dw_temporal, the sum of dx and its product with x - centre
};

/// Vectors of a slab in shared memory, each (count, width).
template <class T>
struct SlabVectors {
  T* by_column;  // T: w_spectral
  T* temporal;   // T: the gate, then the columns' sums of dx
  T* dtemporal;  // T: gradient of the gate, then of the logits
  T* logits_t;   // T: before tanh, then the columns' sums of dx * (x - centre)
  T* by_row;     // F: w_temporal
  T* spectral;   // F: the gate
  T* dspectral;  // F
  T* logits_f;   // F
  T* slab;       // (F, pitch, width), where on chip
  static constexpr int kCount = 4;

  __device__ explicit SlabVectors(const SlabPlan& p) {
    const int columns = p.columns * p.width;
    const int rows = p.rows * p.width;
    by_column = dynamic_shared<T>();
    temporal = by_column + columns;
    dtemporal = temporal + columns;
    logits_t = dtemporal + columns;
    by_row = logits_t + columns;
    spectral = by_row + rows;
    dspectral = spectral + rows;
    logits_f = dspectral + rows;
    slab = logits_f + rows;
  }
};

/// dl = a * (da - sum a * da), and through tanh where asked, of one channel in place: one warp.
template <class T>
__device__ void softmax_backward_of_warp(const T* probability, T* gradient, const T* logits, int count, int width,
                                         bool tanh_logits) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  T mean = 0;
  for (int i = lane; i < count; i += 32) {
    mean += probability[i * width] * gradient[i * width];
  }
  mean = warp_sum(mean);
  for (int i = lane; i < count; i += 32) {
    T& g = gradient[i * width];
    g = probability[i * width] * (g - mean);
    if (tanh_logits) {
      const T y = tanh(logits[i * width]);
      g *= 1 - y * y;
    }
  }
}

/// Both softmaxes of every channel. Ends with a barrier.
template <class T>
__device__ void softmaxes_backward(const SlabPlan& p, const SlabPlace<1>& at, const SlabVectors<T>& v,
                                   bool tanh_logits) {
  const int warps = static_cast<int>(blockDim.x) / 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < 2 * at.live; i += warps) {
    const int c = i / 2;
    const bool over_rows = i % 2 == 0;
    softmax_backward_of_warp((over_rows ? v.spectral : v.temporal) + c, (over_rows ? v.dspectral : v.dtemporal) + c,
                             (over_rows ? v.logits_f : v.logits_t) + c, over_rows ? p.rows : p.columns, p.width,
                             tanh_logits);
  }
  __syncthreads();
}

/// Sums over the columns of v.temporal and v.logits_t into the last two rows of the slab's shares: a warp for each.
template <class T>
__device__ void store_sums(const SlabPlan& p, const SlabPlace<1>& at, const SlabVectors<T>& v, T* shares) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < 2 * at.live; i += warps) {
    const T* from = (i % 2 == 0 ? v.temporal : v.logits_t) + i / 2;
    T sum = 0;
    for (int t = lane; t < p.columns; t += 32) {
      sum += from[t * p.width];
    }
    sum = warp_sum(sum);
    if (lane == 0) {
      shares[(i % 2) * p.channels + at.channel - at.lane + i / 2] = sum;
    }
  }
}

/// Block: a slab. Thread: N channels of columns and rows in turn.
template <int N, class M, Prologue prologue>
__global__ void __launch_bounds__(kSlabThreads<N>, kSlabsResident<N>)
    backward_kernel(const SlabPlan p, const BackwardArguments<M> a) {
  using T = Wide<M>;
  constexpr int kAhead = N == 8 ? 2 : 4;
  const SlabPlace<N> at(p);
  const SlabPlace<1> single(p);
  const SlabReader<N, M, prologue> read(a.input, at);
  const SlabVectors<T> v(p);
  const std::int64_t row = p.columns * p.channels;
  const auto index = [&](int f, int t) { return at.first + f * row + t * p.channels; };
  const auto slab_at = [&](int f, int t) { return (f * p.pitch() + t) * p.width + at.lane; };
  const auto value_at = [&](int f, int t) {
    return p.on_chip ? load_slab<N>(v.slab, slab_at(f, t)) : read(index(f, t));
  };
  const auto both_at = [&](int f, int t) {
    return ValueAndGradient<N, T>{value_at(f, t), load_wide<N>(a.dout + index(f, t))};
  };
  stage(p, single, a.w_spectral, p.columns, 1, p.columns, v.by_column);
  stage(p, single, a.w_temporal, p.rows, 1, p.rows, v.by_row);
  stage(p, single, a.spectral + at.sample * p.rows * p.channels, p.rows, p.channels, 1, v.spectral);
  stage(p, single, a.temporal + at.sample * row, p.columns, p.channels, 1, v.temporal);
  __syncthreads();
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    LogitSums<N, T> sums;
    load_ahead<kAhead>(
        p.rows,
        [&](int f) {
          return ValueAndGradient<N, T>{read(index(f, t)), load_wide<N>(a.dout + index(f, t))};
        },
        [&](int f, const ValueAndGradient<N, T>& e) {
          sums.add(e, v.spectral + f * p.width + at.lane, v.by_row + f * p.width + at.lane);
          if (p.on_chip) {
            store_slab<N>(v.slab, slab_at(f, t), e.value);
          }
        });
    sums.store(a.scale, v.dtemporal + t * p.width + at.lane, v.logits_t + t * p.width + at.lane);
  }
  __syncthreads();
  for (int f = at.line; at.active && f < p.rows; f += at.lines) {
    LogitSums<N, T> sums;
    load_ahead<kAhead>(
        p.columns, [&](int t) { return both_at(f, t); },
        [&](int t, const ValueAndGradient<N, T>& e) {
          sums.add(e, v.temporal + t * p.width + at.lane, v.by_column + t * p.width + at.lane);
        });
    sums.store(a.scale, v.dspectral + f * p.width + at.lane, v.logits_f + f * p.width + at.lane);
  }
  __syncthreads();
  softmaxes_backward(p, single, v, a.tanh_logits);
  T* shares = a.shares + at.sample * (p.columns + p.rows + 2) * p.channels;
  T* row_shares = shares + row;
  for (int f = at.line; at.active && f < p.rows; f += at.lines) {
    Vector<T, N> sum{};
    load_ahead<kAhead>(
        p.columns, [&](int t) { return value_at(f, t); },
        [&](int t, const Vector<T, N>& value) {
          multiply_add(value, load_at<N>(v.dtemporal + t * p.width + at.lane), sum);
        });
    store_at<N>(row_shares + f * p.channels + at.channel, sum);
  }
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    const int j = t * p.width + at.lane;
    ColumnGradient<N, M, prologue> column{load_at<N>(v.temporal + j), load_at<N>(v.dtemporal + j),
                                          load_at<N>(v.by_column + j)};
#pragma unroll
    for (int k = 0; k < N; ++k) {
      column.gate[k] *= a.scale;
    }
    if constexpr (prologue != Prologue::none) {
      column.centre = load_at<N>(a.centre + at.channel);
    }
    load_ahead<kAhead>(
        p.rows, [&](int f) { return both_at(f, t); },
        [&](int f, const ValueAndGradient<N, T>& e) {
          const int i = f * p.width + at.lane;
          store_rounded<N>(a.dx + index(f, t),
                           column.take(e, v.dspectral + i, v.spectral + i, v.by_row + i, a.input.x + index(f, t)));
        });
    store_at<N>(shares + t * p.channels + at.channel, column.share);
    store_at<N>(v.temporal + j, column.sum);  // no other thread reads this column's gate or logit any more
    store_at<N>(v.logits_t + j, column.product);
  }
  if constexpr (prologue != Prologue::none) {
    __syncthreads();
    store_sums(p, single, v, row_shares + p.rows * p.channels);
  }
}

template <class M>
void backward_as(const AttentionBackward& b) {
  using T = Wide<M>;
  const AttentionForward& a = b.forward;
  const bool has_prologue = static_cast<bool>(a.prologue.slope);
  const SlabPlan plan = plan_slabs<M>(a.x, SlabVectors<T>::kCount);
  const Tensor shares({a.x.dim(0), a.x.dim(1) + a.x.dim(2) + 2, a.x.dim(3)}, dtype_of<T>, a.x.device());
  const BackwardArguments<M> arguments{.input = SlabInput<M>(a),
                                       .w_spectral = a.w_spectral.data<T>(),
                                       .w_temporal = a.w_temporal.data<T>(),
                                       .spectral = a.spectral.data<T>(),
                                       .temporal = a.temporal.data<T>(),
                                       .centre = has_prologue ? b.centre.data<T>() : nullptr,
                                       .tanh_logits = a.tanh_logits,
                                       .scale = static_cast<T>(a.scale),
                                       .dout = map_data<M>(b.dout),
                                       .dx = mutable_map_data<M>(b.dx),
                                       .shares = shares.mutable_data<T>()};
  with_prologue<M>(a, plan, {b.dout, b.dx, b.centre, shares}, [&]<int N, Prologue prologue>() {
    launch(backward_kernel<N, M, prologue>, grid_of<N, T>(plan, a.x.dim(0), SlabVectors<T>::kCount), plan, arguments);
  });
  const ShareSums<T> gradients{.by_column = b.dw_spectral.mutable_data<T>(),
                               .by_row = b.dw_temporal.mutable_data<T>(),
                               .sum = has_prologue ? b.dx_sum.mutable_data<T>() : nullptr,
                               .product = has_prologue ? b.dx_product.mutable_data<T>() : nullptr};
  add_shares(plan, shares, (plan.columns + plan.rows + (has_prologue ? 2 : 0)) * plan.channels, gradients);
}

}  // namespace

void spectral_temporal_attention_backward(const AttentionBackward& b) {
  if (b.forward.x.numel() > 0) {
    return dispatch_slab(b.dx.dtype(), [&]<class M>() { backward_as<M>(b); });
  }
  for (const Tensor& sum : {b.dw_spectral, b.dw_temporal, b.dx_sum, b.dx_product}) {
    if (sum) {
      sum.fill(0);
    }
  }
}

}  // namespace earmark::kernels::cuda
