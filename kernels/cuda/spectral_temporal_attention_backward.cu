// Backward, a slab at a time. A column pass reads X and dout, leaves X in shared memory and adds up what belongs to
// columns: the logits (recomputed, for tanh) and the gradient of the temporal gate; a row pass does the same for rows;
// a warp takes each softmax back; a second column pass writes dx; both kinds of sums of X * dlogits are the slab's
// share of the weight gradients. A second launch adds up the shares of all samples in a fixed order, in double. Floor
// on an H100: x (and the residual) and dout read and dx written at 3.35 TB/s. The row pass and the second column pass
// read dout again, and x where a prologue needs it: a wave's slabs are 26 MB of it, which L2 (50 MB) keeps.
#include "kernels/cuda/attention_slab.cuh"

namespace earmark::kernels::cuda {
namespace {

template <class T>
struct BackwardArguments {
  SlabInput<T> input;
  const T* w_spectral;
  const T* w_temporal;
  const T* spectral;
  const T* temporal;
  const T* centre;
  bool tanh_logits;
  T scale;
  const T* dout;
  T* dx;
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

template <class T>
struct ValueAndGradient {
  T value;
  T dout;
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
__device__ void softmaxes_backward(const SlabPlan& p, const SlabPlace& at, const SlabVectors<T>& v, bool tanh_logits) {
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
__device__ void store_sums(const SlabPlan& p, const SlabPlace& at, const SlabVectors<T>& v, T* shares) {
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

template <class T, Prologue prologue>
__global__ void __launch_bounds__(kSlabThreads<T>) backward_kernel(const SlabPlan p, const BackwardArguments<T> a) {
  constexpr int kAhead = 4;
  const SlabPlace at(p);
  const SlabReader<T, prologue> read(a.input, at);
  const SlabVectors<T> v(p);
  const std::int64_t row = p.columns * p.channels;
  const auto index = [&](int f, int t) { return at.first + f * row + t * p.channels; };
  const auto slab_at = [&](int f, int t) -> T& { return v.slab[(f * p.pitch() + t) * p.width + at.lane]; };
  const auto value_at = [&](int f, int t) { return p.on_chip ? slab_at(f, t) : read(index(f, t)); };
  stage(p, at, a.w_spectral, p.columns, 1, p.columns, v.by_column);
  stage(p, at, a.w_temporal, p.rows, 1, p.rows, v.by_row);
  stage(p, at, a.spectral + at.sample * p.rows * p.channels, p.rows, p.channels, 1, v.spectral);
  stage(p, at, a.temporal + at.sample * row, p.columns, p.channels, 1, v.temporal);
  __syncthreads();
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    T gradient = 0;
    T logit = 0;
    load_ahead<kAhead>(
        p.rows,
        [&](int f) {
          return ValueAndGradient<T>{read(index(f, t)), a.dout[index(f, t)]};
        },
        [&](int f, const ValueAndGradient<T>& e) {
          gradient += e.value * e.dout * v.spectral[f * p.width + at.lane];
          logit += e.value * v.by_row[f * p.width + at.lane];
          if (p.on_chip) {
            slab_at(f, t) = e.value;
          }
        });
    v.dtemporal[t * p.width + at.lane] = gradient * a.scale;
    v.logits_t[t * p.width + at.lane] = logit;
  }
  __syncthreads();
  for (int f = at.line; at.active && f < p.rows; f += at.lines) {
    T gradient = 0;
    T logit = 0;
    load_ahead<kAhead>(
        p.columns,
        [&](int t) {
          return ValueAndGradient<T>{value_at(f, t), a.dout[index(f, t)]};
        },
        [&](int t, const ValueAndGradient<T>& e) {
          gradient += e.value * e.dout * v.temporal[t * p.width + at.lane];
          logit += e.value * v.by_column[t * p.width + at.lane];
        });
    v.dspectral[f * p.width + at.lane] = gradient * a.scale;
    v.logits_f[f * p.width + at.lane] = logit;
  }
  __syncthreads();
  softmaxes_backward(p, at, v, a.tanh_logits);
  T* shares = a.shares + at.sample * (p.columns + p.rows + 2) * p.channels;
  T* row_shares = shares + row;
  for (int f = at.line; at.active && f < p.rows; f += at.lines) {
    T sum = 0;
    load_ahead<kAhead>(
        p.columns, [&](int t) { return value_at(f, t); },
        [&](int t, T value) { sum += value * v.dtemporal[t * p.width + at.lane]; });
    row_shares[f * p.channels + at.channel] = sum;
  }
  const T centre = prologue != Prologue::none && at.active ? a.centre[at.channel] : T{0};
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    const int j = t * p.width + at.lane;
    const T gate = v.temporal[j] * a.scale;
    const T dlogit_t = v.dtemporal[j];
    const T weight_t = v.by_column[j];
    T share = 0;
    T sum = 0;
    T product = 0;
    load_ahead<kAhead>(
        p.rows,
        [&](int f) {
          return ValueAndGradient<T>{value_at(f, t), a.dout[index(f, t)]};
        },
        [&](int f, const ValueAndGradient<T>& e) {
          const int i = f * p.width + at.lane;
          share += e.value * v.dspectral[i];
          T gradient = e.dout * (v.spectral[i] * gate) + v.dspectral[i] * weight_t + dlogit_t * v.by_row[i];
          if constexpr (prologue != Prologue::none) {
            gradient = e.value <= 0 ? T{0} : gradient;
            sum += gradient;
            product += gradient * (a.input.x[index(f, t)] - centre);
          }
          a.dx[index(f, t)] = gradient;
        });
    shares[t * p.channels + at.channel] = share;
    v.temporal[j] = sum;  // no other thread reads this column's gate or logit any more
    v.logits_t[j] = product;
  }
  if constexpr (prologue != Prologue::none) {
    __syncthreads();
    store_sums(p, at, v, row_shares + p.rows * p.channels);
  }
}

constexpr int kShareColumns = 32;
constexpr int kShareLines = 16;

/// Where row k of the shares goes: (C, T), (C, F), (C) and (C).
template <class T>
struct Gradients {
  T* by_column;
  T* by_row;
  T* sum;
  T* product;
};

/// Adds up shares (N, columns + rows + 2, C) over the samples: a block takes 32 neighbouring entries, line l of its
/// threads the samples l, l + kShareLines, ...
template <class T>
__global__ void __launch_bounds__(kShareColumns* kShareLines)
    add_shares_kernel(const T* shares, std::int64_t samples, std::int64_t entries, SlabPlan p, Gradients<T> to) {
  __shared__ double sums[kShareLines][kShareColumns];
  const int lane = static_cast<int>(threadIdx.x) % kShareColumns;
  const int line = static_cast<int>(threadIdx.x) / kShareColumns;
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * kShareColumns + lane;
  double total = 0;
  if (entry < entries) {
#pragma unroll 4
    for (std::int64_t n = line; n < samples; n += kShareLines) {
      total += static_cast<double>(shares[n * (p.columns + p.rows + 2) * p.channels + entry]);
    }
  }
  sums[line][lane] = total;
  __syncthreads();
  if (line == 0 && entry < entries) {
    for (int l = 1; l < kShareLines; ++l) {
      total += sums[l][lane];
    }
    const std::int64_t k = entry / p.channels;
    const std::int64_t c = entry % p.channels;
    if (k < p.columns) {
      to.by_column[c * p.columns + k] = static_cast<T>(total);
    } else if (k < p.columns + p.rows) {
      to.by_row[c * p.rows + k - p.columns] = static_cast<T>(total);
    } else {
      (k == p.columns + p.rows ? to.sum : to.product)[c] = static_cast<T>(total);
    }
  }
}

template <class T>
void backward_as(const AttentionBackward& b) {
  const AttentionForward& a = b.forward;
  const bool has_prologue = static_cast<bool>(a.prologue.slope);
  const auto [plan, grid] = plan_slabs<T>(a.x, SlabVectors<T>::kCount);
  const Tensor shares({a.x.dim(0), a.x.dim(1) + a.x.dim(2) + 2, a.x.dim(3)}, a.x.dtype(), a.x.device());
  const BackwardArguments<T> arguments{.input = SlabInput<T>(a),
                                       .w_spectral = a.w_spectral.data<T>(),
                                       .w_temporal = a.w_temporal.data<T>(),
                                       .spectral = a.spectral.data<T>(),
                                       .temporal = a.temporal.data<T>(),
                                       .centre = has_prologue ? b.centre.data<T>() : nullptr,
                                       .tanh_logits = a.tanh_logits,
                                       .scale = static_cast<T>(a.scale),
                                       .dout = b.dout.data<T>(),
                                       .dx = b.dx.mutable_data<T>(),
                                       .shares = shares.mutable_data<T>()};
  with_prologue(a, [&]<Prologue prologue>() { launch(backward_kernel<T, prologue>, grid, plan, arguments); });
  const Gradients<T> gradients{.by_column = b.dw_spectral.mutable_data<T>(),
                               .by_row = b.dw_temporal.mutable_data<T>(),
                               .sum = has_prologue ? b.dx_sum.mutable_data<T>() : nullptr,
                               .product = has_prologue ? b.dx_product.mutable_data<T>() : nullptr};
  const std::int64_t entries = (plan.columns + plan.rows + (has_prologue ? 2 : 0)) * plan.channels;
  launch(add_shares_kernel<T>, blocks((entries + kShareColumns - 1) / kShareColumns, kShareColumns * kShareLines),
         shares.data<T>(), a.x.dim(0), entries, plan, gradients);
}

}  // namespace

void spectral_temporal_attention_backward(const AttentionBackward& b) {
  check(b.dx.dtype() == DType::f32, "attention on a GPU: expected f32, got ", name_of(b.dx.dtype()));
  if (b.forward.x.numel() > 0) {
    return backward_as<float>(b);
  }
  for (const Tensor& sum : {b.dw_spectral, b.dw_temporal, b.dx_sum, b.dx_product}) {
    if (sum) {
      sum.fill(0);
    }
  }
}

}  // namespace earmark::kernels::cuda
