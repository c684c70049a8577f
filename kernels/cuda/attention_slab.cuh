// What the passes of spectral-temporal attention share. A block owns the slab of one sample and `width` neighbouring
// channels: 8 of them are 32 bytes of floats, a whole sector. Thread i works on channel i % width and, in turn, on
// columns or rows i / width, i / width + lines, ...: a column pass reads memory in sectors, and a row pass reads the
// slab from shared memory without bank conflicts, since its rows have an odd number of columns there.
// What a slab has per row or column ("vectors") lies in shared memory as (count, width).
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/spectral_temporal_attention.h"

namespace earmark::kernels::cuda {

/// The most threads of a block: with more of them each would have too few registers.
template <class T>
inline constexpr int kSlabThreads = sizeof(T) <= 4 ? 512 : 256;

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

/// The widest slab that fits shared memory beside `vectors` vectors per row and column.
struct SlabLaunch {
  SlabPlan plan;
  Grid grid;
};
template <class T>
SlabLaunch plan_slabs(const Tensor& x, int vectors) {
  const std::int64_t shared = most_shared_memory();
  constexpr int kWidest = 8;
  const std::int64_t rows = x.dim(1);
  const std::int64_t columns = x.dim(2);
  const std::int64_t channels = x.dim(3);
  constexpr std::int64_t size = sizeof(T);
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
  const std::int64_t threads = std::clamp<std::int64_t>((columns * width + 31) / 32 * 32, 64, kSlabThreads<T>);
  return {
      .plan = {channels, static_cast<int>(rows), static_cast<int>(columns), width, static_cast<int>(groups), on_chip},
      .grid = blocks(x.dim(0) * groups, static_cast<int>(threads),
                     static_cast<std::size_t>((beside + (on_chip ? slab : 0)) * width))};
}

enum class Prologue { none, rectified, residual };

/// X from memory, as AttentionPrologue defines it.
template <class T>
struct SlabInput {
  const T* x;
  const T* residual;
  const T* slope;
  const T* offset;

  explicit SlabInput(const AttentionForward& a)
      : x(a.x.data<T>()),
        residual(a.prologue.residual ? a.prologue.residual.data<T>() : nullptr),
        slope(a.prologue.slope ? a.prologue.slope.data<T>() : nullptr),
        offset(a.prologue.slope ? a.prologue.offset.data<T>() : nullptr) {}
};

/// Calls f.operator()<Prologue>() with the one that `a` has.
template <class F>
void with_prologue(const AttentionForward& a, F&& f) {
  if (a.prologue.residual) {
    f.template operator()<Prologue::residual>();
  } else if (a.prologue.slope) {
    f.template operator()<Prologue::rectified>();
  } else {
    f.template operator()<Prologue::none>();
  }
}

/// One thread's place: its block's slab and its channel.
struct SlabPlace {
  int lane;     // channel within the slab
  int line;     // first row or column
  int lines;    // rows or columns that the block takes at once
  int live;     // channels of the slab that exist
  bool active;  // whether this thread's does
  std::int64_t sample;
  std::int64_t channel;
  std::int64_t first;  // of the slab's elements of this channel

  __device__ explicit SlabPlace(const SlabPlan& p)
      : lane(static_cast<int>(threadIdx.x) % p.width),
        line(static_cast<int>(threadIdx.x) / p.width),
        lines(static_cast<int>(blockDim.x) / p.width),
        sample(blockIdx.x / p.groups) {
    const std::int64_t start = static_cast<std::int64_t>(blockIdx.x % p.groups) * p.width;
    const std::int64_t left = p.channels - start;
    live = left < p.width ? static_cast<int>(left) : p.width;
    active = lane < live;
    channel = start + lane;
    first = sample * p.rows * p.columns * p.channels + channel;
  }
};

/// The element type's X at an index of memory, for one channel.
template <class T, Prologue prologue>
struct SlabReader {
  const SlabInput<T>& input;
  T slope{};
  T offset{};

  __device__ SlabReader(const SlabInput<T>& from, const SlabPlace& at) : input(from) {
    if constexpr (prologue != Prologue::none) {
      if (at.active) {
        slope = from.slope[at.channel];
        offset = from.offset[at.channel];
      }
    }
  }
  __device__ __forceinline__ T operator()(std::int64_t i) const {
    T value = input.x[i];
    if constexpr (prologue != Prologue::none) {
      value = value * slope + offset;
      if constexpr (prologue == Prologue::residual) {
        value += input.residual[i];
      }
      value = value < 0 ? T{0} : value;  // keeps NaN
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
__device__ void stage(const SlabPlan& p, const SlabPlace& at, const T* from, int count, std::int64_t step,
                      std::int64_t stride, T* shared) {
  for (int i = at.line; i < count; i += at.lines) {
    if (at.active) {
      shared[i * p.width + at.lane] = from[i * step + at.channel * stride];
    }
  }
}
template <class T>
__device__ void unstage(const SlabPlan& p, const SlabPlace& at, const T* shared, int count, T* to) {
  for (int i = at.line; i < count; i += at.lines) {
    if (at.active) {
      to[i * p.channels + at.channel] = shared[i * p.width + at.lane];
    }
  }
}

}  // namespace earmark::kernels::cuda
