// What the passes of spectral-temporal attention share. Maps are stored as M, float or bf16; everything is computed,
// and kept in shared memory, as T, float. A block owns the slab of one sample and `width` neighbouring channels: up to
// a whole sector of 32 bytes, 8 floats or 16 in bf16. A thread works on N neighbouring channels, 16 bytes of a map
// where the tensors and the slab's width allow it, otherwise fewer; with `lanes` threads side by side for a slab's
// width, thread i has the i % lanes-th N channels and, in turn, columns or rows i / lanes, i / lanes + lines, ...: a
// column pass reads memory in sectors, and a row pass reads the slab from shared memory without bank conflicts, since
// its rows have an odd number of columns there. What a slab has per row or column ("vectors") lies in shared memory as
// (count, width).
#pragma once

#include "kernels/cuda/attention_moves.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/maps.h"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/spectral_temporal_attention.h"

namespace earmark::kernels::cuda {

/// The most threads of a block: with more of them each would have too few registers.
template <int N>
inline constexpr int kSlabThreads = N == 1 ? 512 : 256;
/// Blocks of so many threads that a multiprocessor has registers for: 128 a thread, or 255.
template <int N>
inline constexpr int kSlabsResident = N == 4 ? 2 : 1;

/// How a (N, F, T, C) tensor is cut into slabs.
struct SlabPlan {
  std::int64_t channels;
  int rows;      // F
  int columns;   // T
  int width;     // channels of a slab, a power of two
  int groups;    // slabs of a sample
  bool on_chip;  // whether shared memory holds X; otherwise it is computed from memory again

  __host__ __device__ int pitch() const { return columns | 1; }
};

/// The widest slab of a map of Ms that fits shared memory beside `vectors` vectors per row and column.
template <class M>
SlabPlan plan_slabs(const Tensor& x, int vectors) {
  const std::int64_t shared = most_shared_memory();
  constexpr int kWidest = 32 / static_cast<int>(sizeof(M));
  const std::int64_t rows = x.dim(1);
  const std::int64_t columns = x.dim(2);
  const std::int64_t channels = x.dim(3);
  constexpr std::int64_t size = sizeof(Wide<M>);
  const std::int64_t beside = vectors * (rows + columns) * size;
  const std::int64_t slab = rows * (columns | 1) * size;
  int widest = 1;
  while (widest < kWidest && widest < channels) {
    widest *= 2;
  }
  int width = widest;
  while (width > 1 && (beside + slab) * width > shared) {
    width /= 2;
  }
  const bool on_chip = (beside + slab) * width <= shared;
  for (width = on_chip ? width : widest; beside * width > shared;) {
    check(width > 1, "attention: ", rows, " x ", columns, " is too large for a GPU's shared memory");
    width /= 2;
  }
  const std::int64_t groups = (channels + width - 1) / width;
  return {channels, static_cast<int>(rows), static_cast<int>(columns), width, static_cast<int>(groups), on_chip};
}

/// Calls f.operator()<M>() with the type that holds `dtype` in kernels: slabs are float, maps f32 or bf16.
template <class F>
void dispatch_slab(DType dtype, F&& f) {
  check(dtype == DType::f32 || dtype == DType::bf16, "attention on a GPU: expected f32 or bf16, got ", name_of(dtype));
  if (dtype == DType::f32) {
    f.template operator()<float>();
  } else {
    f.template operator()<__nv_bfloat16>();
  }
}

/// A block for each slab, threads for its columns.
template <int N, class T>
Grid grid_of(const SlabPlan& p, std::int64_t samples, int vectors) {
  const std::int64_t threads = std::clamp<std::int64_t>((p.columns * p.width / N + 31) / 32 * 32, 64, kSlabThreads<N>);
  const std::int64_t elements = vectors * (p.rows + p.columns) + (p.on_chip ? p.rows * p.pitch() : 0);
  return blocks(samples * p.groups, static_cast<int>(threads),
                static_cast<std::size_t>(elements * p.width) * sizeof(T));
}

enum class Prologue { none, rectified, residual };

/// X from memory, as AttentionPrologue defines it.
template <class M>
struct SlabInput {
  using T = Wide<M>;
  const M* x;
  const M* residual;
  const T* slope;
  const T* offset;

  explicit SlabInput(const AttentionForward& a)
      : x(map_data<M>(a.x)),
        residual(a.prologue.residual ? map_data<M>(a.prologue.residual) : nullptr),
        slope(a.prologue.slope ? a.prologue.slope.data<T>() : nullptr),
        offset(a.prologue.slope ? a.prologue.offset.data<T>() : nullptr) {}
};

/// Calls f.operator()<N, Prologue>() with the prologue that `a` has and the channels that a thread takes: 16 bytes of a
/// map, or of floats where a slab is narrower than that, where every map of the channels, `others` among them, has them
/// aligned; otherwise 1.
template <class M, class F>
void with_prologue(const AttentionForward& a, const SlabPlan& p, std::initializer_list<Tensor> others, F&& f) {
  constexpr int kWide = kVector<M>;
  constexpr int kNarrow = kVector<Wide<M>>;
  const auto is_wide = [](const Tensor& t) { return !t || is_aligned<16>(t.raw()); };
  const bool aligned = is_wide(a.x) && is_wide(a.prologue.residual) && is_wide(a.prologue.slope) &&
                       is_wide(a.prologue.offset) && std::all_of(others.begin(), others.end(), is_wide);
  const auto fits = [&](int n) { return aligned && p.channels % n == 0 && p.width % n == 0; };
  const auto call = [&]<Prologue prologue>() {
    if (fits(kWide)) {
      return f.template operator()<kWide, prologue>();
    }
    if constexpr (kNarrow < kWide) {
      if (fits(kNarrow)) {
        return f.template operator()<kNarrow, prologue>();
      }
    }
    f.template operator()<1, prologue>();
  };
  if (a.prologue.residual) {
    call.template operator()<Prologue::residual>();
  } else if (a.prologue.slope) {
    call.template operator()<Prologue::rectified>();
  } else {
    call.template operator()<Prologue::none>();
  }
}

/// One thread's place: its block's slab and its N channels, which exist all or none.
template <int N>
struct SlabPlace {
  int lane;     // first channel within the slab
  int line;     // first row or column
  int lines;    // rows or columns that the block takes at once
  int live;     // channels of the slab that exist
  bool active;  // whether this thread's do
  std::int64_t sample;
  std::int64_t channel;
  std::int64_t first;  // of the slab's elements of this channel

  __device__ explicit SlabPlace(const SlabPlan& p)
      : lane(static_cast<int>(threadIdx.x) % (p.width / N) * N),
        line(static_cast<int>(threadIdx.x) / (p.width / N)),
        lines(static_cast<int>(blockDim.x) / (p.width / N)),
        sample(blockIdx.x / p.groups) {
    const std::int64_t start = static_cast<std::int64_t>(blockIdx.x % p.groups) * p.width;
    const std::int64_t left = p.channels - start;
    live = left < p.width ? static_cast<int>(left) : p.width;
    active = lane < live;
    channel = start + lane;
    first = sample * p.rows * p.columns * p.channels + channel;
  }
};

/// sum[k] += a[k] * b[k].
template <int N, class T>
__device__ __forceinline__ void multiply_add(const Vector<T, N>& a, const Vector<T, N>& b, Vector<T, N>& sum) {
#pragma unroll
  for (int k = 0; k < N; ++k) {
    sum[k] += a[k] * b[k];
  }
}

/// X at an index of memory, for one thread's channels.
template <int N, class M, Prologue prologue>
struct SlabReader {
  using T = Wide<M>;
  const SlabInput<M>& input;
  Vector<T, N> slope{};
  Vector<T, N> offset{};

  __device__ SlabReader(const SlabInput<M>& from, const SlabPlace<N>& at) : input(from) {
    if constexpr (prologue != Prologue::none) {
      if (at.active) {
        slope = load_at<N>(from.slope + at.channel);
        offset = load_at<N>(from.offset + at.channel);
      }
    }
  }
  __device__ __forceinline__ Vector<T, N> operator()(std::int64_t i) const {
    Vector<T, N> value = load_wide<N>(input.x + i);
    if constexpr (prologue != Prologue::none) {
      Vector<T, N> added{};
      if constexpr (prologue == Prologue::residual) {
        added = load_wide<N>(input.residual + i);
      }
#pragma unroll
      for (int k = 0; k < N; ++k) {
        value[k] = value[k] * slope[k] + offset[k];
        if constexpr (prologue == Prologue::residual) {
          value[k] += added[k];
        }
        value[k] = value[k] < 0 ? T{0} : value[k];  // keeps NaN
      }
    }
    return value;
  }
};

/// use(i, load(i)) for all i < count, with several loads under way at once.
template <int ahead, class Load, class Use>
__device__ __forceinline__ void load_ahead(int count, const Load& load, const Use& use) {
  for (int i = 0; i < count; i += ahead) {
    decltype(load(0)) values[ahead] = {};
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      if (i + k < count) {
        values[k] = load(i + k);
      }
    }
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      if (i + k < count) {
        use(i + k, values[k]);
      }
    }
  }
}

/// shared (count, width) from this slab's channels of a matrix whose entry (i, channel) is at i * step + channel *
/// stride.
template <class T>
__device__ void stage(const SlabPlan& p, const SlabPlace<1>& at, const T* from, int count, std::int64_t step,
                      std::int64_t stride, T* shared) {
  for (int i = at.line; i < count; i += at.lines) {
    if (at.active) {
      shared[i * p.width + at.lane] = from[i * step + at.channel * stride];
    }
  }
}
template <class T>
__device__ void unstage(const SlabPlan& p, const SlabPlace<1>& at, const T* shared, int count, T* to) {
  for (int i = at.line; i < count; i += at.lines) {
    if (at.active) {
      to[i * p.channels + at.channel] = shared[i * p.width + at.lane];
    }
  }
}

}  // namespace earmark::kernels::cuda
