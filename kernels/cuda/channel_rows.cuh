// Walking (rows, C) memory with one vector of channels per thread, so that what belongs to a channel sits in registers
// while the rows pass by; and sums over the rows, two per channel, in double: blocks add their own rows into partials,
// and the caller adds up those. Both orders are fixed by the shapes, so the bits are the same every time; no atomics.
// Floor on an H100: the rows read once over 3.35 TB/s, and two additions in double for each element, which stay below
// it down to 16-bit elements (6.7 of 34 TFLOP/s): 80 to 90 % of it is to be expected, as each thread has four loads of
// 16 bytes under way. The partials, at most 1024 of a channel, are a thousandth of a large map.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

inline constexpr int kChannelThreads = 256;
inline constexpr int kRowsAhead = 4;
inline constexpr int kRowsOfThread = 8;  // or more, so that what belongs to the channels is worth fetching

/// Block (i, j) has every gridDim.x-th piece of the rows of strip j: `width` vectors of channels.
struct ChannelRows {
  std::int64_t rows;
  std::int64_t channels;
  int width;  // a power of two; 32 vectors are 512 bytes of a row
};

/// `parts` blocks over the rows of every strip.
struct ChannelLaunch {
  ChannelRows layout;
  std::int64_t parts;
  Grid grid;
};
/// For vectors of N channels, with at most about `most_blocks` blocks.
template <int N>
ChannelLaunch channel_launch(std::int64_t rows, std::int64_t channels, std::int64_t most_blocks) {
  constexpr int kMostWidth = 32;
  constexpr std::int64_t kMostStrips = 65535;
  const std::int64_t vectors = (channels + N - 1) / N;
  int width = 1;
  while (width < kMostWidth && width < vectors) {
    width *= 2;
  }
  const std::int64_t strips = (vectors + width - 1) / width;
  check(strips <= kMostStrips, "channels: at most ", kMostStrips * kMostWidth, " on a GPU, got ", channels);
  const std::int64_t rows_of_block = std::int64_t{kRowsOfThread} * kChannelThreads / width;
  const std::int64_t most_parts = std::max<std::int64_t>(1, most_blocks / std::max<std::int64_t>(1, strips));
  const std::int64_t parts = std::clamp<std::int64_t>((rows + rows_of_block - 1) / rows_of_block, 1, most_parts);
  return {.layout = {rows, channels, width},
          .parts = parts,
          .grid = {.grid = dim3(static_cast<unsigned>(parts), static_cast<unsigned>(strips)),
                   .block = dim3(kChannelThreads)}};
}

/// Calls f.operator()<N>() with vectors of 16 bytes of Ms where all of `pointers` and the rows allow them, else of one.
template <class M, class F>
void with_channel_vectors(std::int64_t channels, std::initializer_list<const void*> pointers, F&& f) {
  constexpr int kWide = kVector<M>;
  const bool aligned =
      std::ranges::all_of(pointers, [](const void* p) { return is_aligned<16>(static_cast<const std::byte*>(p)); });
  if (aligned && channels % kWide == 0) {
    f.template operator()<kWide>();
  } else {
    f.template operator()<1>();
  }
}

/// One thread's place: its N channels and its rows.
template <int N>
struct ChannelPlace {
  int line;              // of the rows that a block takes at once
  int lines;             // how many those are
  std::int64_t channel;  // first of N
  bool active;           // whether they exist

  __device__ explicit ChannelPlace(const ChannelRows& r)
      : line(static_cast<int>(threadIdx.x) / r.width),
        lines(kChannelThreads / r.width),
        channel((static_cast<std::int64_t>(blockIdx.y) * r.width + threadIdx.x % r.width) * N),
        active(channel < r.channels) {}
};

/// use(row, load(row)) for every row of an active thread. `ahead` loads are under way at once.
template <int ahead, int N, class Load, class Use>
__device__ __forceinline__ void for_own_row_numbers(const ChannelRows& r, const ChannelPlace<N>& at, const Load& load,
                                                    const Use& use) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * at.lines;
  std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * at.lines + at.line;
  for (; row + (ahead - 1) * step < r.rows; row += ahead * step) {
    decltype(load(row)) values[ahead];
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      values[k] = load(row + k * step);
    }
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      use(row + k * step, values[k]);
    }
  }
  for (; row < r.rows; row += step) {
    use(row, load(row));
  }
}

/// The same with i, the index of a row's first channel of the thread, in the place of the row.
template <int N, int ahead = kRowsAhead, class Load, class Use>
__device__ __forceinline__ void for_own_rows(const ChannelRows& r, const ChannelPlace<N>& at, const Load& load,
                                             const Use& use) {
  const auto index = [&](std::int64_t row) { return row * r.channels + at.channel; };
  for_own_row_numbers<ahead>(
      r, at, [&](std::int64_t row) { return load(index(row)); },
      [&](std::int64_t row, const auto& value) { use(index(row), value); });
}

/// N numbers of a vector (C) from a thread's first channel on, in registers: fetched 16 bytes at a time.
template <class T, int N>
struct OfChannels {
  T values[N];

  __device__ OfChannels(const T* vector, std::int64_t channel) {
    constexpr int kPiece = N < kVector<T> ? N : kVector<T>;
#pragma unroll
    for (int piece = 0; piece < N; piece += kPiece) {
      const Vector<T, kPiece> v = load_vector<kPiece>(vector + channel + piece, 0);
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        values[piece + k] = v[k];
      }
    }
  }
  __device__ __forceinline__ const T& operator[](int k) const { return values[k]; }
};

/// Adds up the sums of a block's threads that have the same channels, over its lines, in `shared`; those of line 0 then
/// stand there, the first sum of channel k in shared[k][thread], the second in shared[N + k]. All threads call it.
template <int N>
__device__ __forceinline__ void sum_over_lines(const double (&sums)[2][N], const ChannelPlace<N>& at, int width,
                                               double (*shared)[kChannelThreads]) {
#pragma unroll
  for (int k = 0; k < N; ++k) {
    shared[k][threadIdx.x] = sums[0][k];
    shared[N + k][threadIdx.x] = sums[1][k];
  }
  __syncthreads();
  for (int half = at.lines / 2; half > 0; half /= 2) {
    if (at.line < half) {
#pragma unroll
      for (int k = 0; k < 2 * N; ++k) {
        shared[k][threadIdx.x] += shared[k][threadIdx.x + half * width];
      }
    }
    __syncthreads();
  }
}

/// partials (2, C, parts) = the two sums of each channel over the rows of each part. `Terms` has
///   kAhead                          rows that a thread loads at once
///   Channels at(channel)            what its N channels need, in registers
///   Loaded load(i)                  from memory
///   void add(channels, loaded, k, first, second)  channel k's two terms
template <int N, class Terms>
__global__ void __launch_bounds__(kChannelThreads, N > 4 ? 2 : 3)
    channel_sums_kernel(const Terms terms, const ChannelRows r, double* partials) {
  __shared__ double shared[2 * N][kChannelThreads];
  const ChannelPlace<N> at(r);
  double sums[2][N] = {};
  if (at.active) {
    const auto channels = terms.at(at.channel);
    for_own_rows<N, Terms::kAhead>(
        r, at, [&](std::int64_t i) { return terms.load(i); },
        [&](std::int64_t /*i*/, const auto& loaded) {
#pragma unroll
          for (int k = 0; k < N; ++k) {
            terms.add(channels, loaded, k, sums[0][k], sums[1][k]);
          }
        });
  }
  sum_over_lines(sums, at, r.width, shared);
  if (at.line == 0 && at.active) {
#pragma unroll
    for (int k = 0; k < 2 * N; ++k) {
      partials[((k / N) * r.channels + at.channel + k % N) * gridDim.x + blockIdx.x] = shared[k][threadIdx.x];
    }
  }
}

/// The sums of one channel from `partials`: a warp for each channel, all 32 lanes call it.
struct ChannelSums {
  double first;
  double second;
};
__device__ __forceinline__ ChannelSums sums_of_channel(const double* partials, std::int64_t parts,
                                                       std::int64_t channels, std::int64_t channel) {
  double first = 0;
  double second = 0;
  if (channel < channels) {
    for (std::int64_t part = threadIdx.x % 32; part < parts; part += 32) {
      first += partials[channel * parts + part];
      second += partials[(channels + channel) * parts + part];
    }
  }
  return {warp_sum(first), warp_sum(second)};
}
/// This thread's channel where each warp has one.
__device__ __forceinline__ std::int64_t channel_of_warp() { return thread_index() / 32; }
inline Grid warp_per_channel(std::int64_t channels) {
  constexpr std::int64_t kWarps = kChannelThreads / 32;
  return blocks((channels + kWarps - 1) / kWarps, kChannelThreads);
}

/// Fills partials (2, C, parts), and returns them.
template <int N, class Terms>
Tensor channel_sums(const Terms& terms, std::int64_t rows, std::int64_t channels, Device device) {
  constexpr std::int64_t kMostSummingBlocks = 1024;
  const ChannelLaunch l = channel_launch<N>(rows, channels, kMostSummingBlocks);
  Tensor partials({2, channels, l.parts}, DType::f64, device);
  launch(channel_sums_kernel<N, Terms>, l.grid, terms, l.layout, partials.mutable_data<double>());
  return partials;
}

}  // namespace earmark::kernels::cuda
