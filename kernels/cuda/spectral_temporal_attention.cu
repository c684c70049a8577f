// Forward: a column pass reads X once, adds up the temporal logits in registers and leaves X in shared memory; a row
// pass there gives the spectral logits; a warp takes each softmax; the last pass scales the slab on its way out. Where
// a slab is too large for shared memory, the row pass and the last pass read it again, mostly from L2.
// Floor on an H100: x (and the residual) read and out written at 3.35 TB/s, 0.24 ms for (512, 64, 96, 32), 0.12 in
// bf16; 6 operations per element are far below it, and the 2 shared-memory accesses of the row pass are about a tenth
// of it. A slab of 64 x 96 fills a multiprocessor: its threads keep 24 KB of loads under way, and 18 are enough; but
// reading, softmax and writing follow each other there, and only other multiprocessors fill the gaps. 70 to 80 % is to
// be expected, more for smaller maps. In bf16 the slab is float as well, so as many elements are under way, of half the
// bytes: half of the floor at 64 x 96, more where several slabs share a multiprocessor; a thread's eight floats there
// are two moves of 16 bytes, of which neighbours make the other one first: no two meet in a bank. A softmax reads its
// channel `width` apart, eight or sixteen lanes to a bank: on the F + T values of a channel.
#include "kernels/cuda/attention_slab.cuh"

namespace earmark::kernels::cuda {
namespace {

/// In place, softmax of one channel's `count` logits (after tanh where asked), `width` apart: one warp.
template <class T>
__device__ void softmax_of_warp(T* logits, int count, int width, bool tanh_logits) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  T largest = -INFINITY;
  for (int i = lane; i < count; i += 32) {
    T& logit = logits[i * width];
    logit = tanh_logits ? tanh(logit) : logit;
    largest = Maximum{}(largest, logit);
  }
  largest = warp_max(largest);
  T sum = 0;
  for (int i = lane; i < count; i += 32) {
    T& value = logits[i * width];
    value = exp(value - largest);
    sum += value;
  }
  const T inverse = 1 / warp_sum(sum);
  for (int i = lane; i < count; i += 32) {
    logits[i * width] *= inverse;
  }
}

template <class M>
struct ForwardArguments {
  using T = Wide<M>;
  SlabInput<M> input;
  const T* w_spectral;
  const T* w_temporal;
  bool tanh_logits;
  T scale;
  M* out;
  T* spectral;
  T* temporal;
};

/// Block: a slab. Thread: N channels of columns, then of rows, then of columns again.
template <int N, class M, Prologue prologue>
__global__ void __launch_bounds__(kSlabThreads<N>, kSlabsResident<N>)
    forward_kernel(const SlabPlan p, const ForwardArguments<M> a) {
  using T = Wide<M>;
  constexpr int kAhead = N == 8 ? 4 : 8;  // 16 bytes of a map each, where wide
  const SlabPlace<N> at(p);
  const SlabPlace<1> single(p);
  const SlabReader<N, M, prologue> read(a.input, at);
  T* by_column = dynamic_shared<T>();           // w_spectral (T, width)
  T* by_row = by_column + p.columns * p.width;  // w_temporal (F, width)
  T* spectral = by_row + p.rows * p.width;      // (F, width)
  T* temporal = spectral + p.rows * p.width;    // (T, width)
  T* slab = temporal + p.columns * p.width;     // (F, pitch, width), where on chip
  const auto slab_at = [&](int f, int t) { return (f * p.pitch() + t) * p.width + at.lane; };
  const std::int64_t row = p.columns * p.channels;
  stage(p, single, a.w_spectral, p.columns, 1, p.columns, by_column);
  stage(p, single, a.w_temporal, p.rows, 1, p.rows, by_row);
  __syncthreads();
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    Vector<T, N> sum{};
    load_ahead<kAhead>(
        p.rows, [&](int f) { return read(at.first + f * row + t * p.channels); },
        [&](int f, const Vector<T, N>& value) {
          multiply_add(value, load_at<N>(by_row + f * p.width + at.lane), sum);
          if (p.on_chip) {
            store_slab<N>(slab, slab_at(f, t), value);
          }
        });
    store_at<N>(temporal + t * p.width + at.lane, sum);
  }
  __syncthreads();
  const auto value_at = [&](int f, int t) {
    return p.on_chip ? load_slab<N>(slab, slab_at(f, t)) : read(at.first + f * row + t * p.channels);
  };
  for (int f = at.line; at.active && f < p.rows; f += at.lines) {
    Vector<T, N> sum{};
    load_ahead<kAhead>(
        p.columns, [&](int t) { return value_at(f, t); },
        [&](int t, const Vector<T, N>& value) {
          multiply_add(value, load_at<N>(by_column + t * p.width + at.lane), sum);
        });
    store_at<N>(spectral + f * p.width + at.lane, sum);
  }
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / 32;
  for (int i = static_cast<int>(threadIdx.x) / 32; i < 2 * at.live; i += warps) {
    const bool over_rows = i % 2 == 0;
    softmax_of_warp((over_rows ? spectral : temporal) + i / 2, over_rows ? p.rows : p.columns, p.width, a.tanh_logits);
  }
  __syncthreads();
  unstage(p, single, spectral, p.rows, a.spectral + at.sample * p.rows * p.channels);
  unstage(p, single, temporal, p.columns, a.temporal + at.sample * row);
  for (int t = at.line; at.active && t < p.columns; t += at.lines) {
    const Vector<T, N> gate = load_at<N>(temporal + t * p.width + at.lane);
    M* out = a.out + at.first + t * p.channels;
    load_ahead<kAhead>(
        p.rows, [&](int f) { return value_at(f, t); },
        [&](int f, Vector<T, N> value) {
          const Vector<T, N> other = load_at<N>(spectral + f * p.width + at.lane);
#pragma unroll
          for (int k = 0; k < N; ++k) {
            value[k] *= other[k] * a.scale * gate[k];
          }
          store_rounded<N>(out + f * row, value);
        });
  }
}

template <class M>
void forward_as(const AttentionForward& a) {
  using T = Wide<M>;
  constexpr int kVectors = 2;
  const SlabPlan plan = plan_slabs<M>(a.x, kVectors);
  const ForwardArguments<M> arguments{.input = SlabInput<M>(a),
                                      .w_spectral = a.w_spectral.data<T>(),
                                      .w_temporal = a.w_temporal.data<T>(),
                                      .tanh_logits = a.tanh_logits,
                                      .scale = static_cast<T>(a.scale),
                                      .out = mutable_map_data<M>(a.out),
                                      .spectral = a.spectral.mutable_data<T>(),
                                      .temporal = a.temporal.mutable_data<T>()};
  with_prologue<M>(a, plan, {a.out}, [&]<int N, Prologue prologue>() {
    launch(forward_kernel<N, M, prologue>, grid_of<N, T>(plan, a.x.dim(0), kVectors), plan, arguments);
  });
}

}  // namespace

void spectral_temporal_attention_forward(const AttentionForward& a) {
  if (a.x.numel() > 0) {
    dispatch_slab(a.x.dtype(), [&]<class M>() { forward_as<M>(a); });
  }
}

}  // namespace earmark::kernels::cuda
