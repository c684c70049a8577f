// Matrix products in tiles of shared memory, for kernels that work on a product before it reaches memory: a tile of
// either operand is laid down with the summed index outside, and each thread keeps a small rectangle of the product in
// registers. Sums run in the order of the summed index: the same bits every time. Floor on an H100: 2 operations a
// multiply-add at 67 TFLOP/s in float; two 16-byte reads of shared memory for 16 multiply-adds leave half of it.
#pragma once

#include "kernels/cuda/vector.cuh"

namespace earmark::kernels::cuda {

/// Which elements of an operand are neighbours in memory: those of a line, or those of the same depth.
enum class Along { depth, lines };

/// One side of a product: `lines` vectors of `depth` elements. Element k of line r is at data[r * stride + k], or,
/// along the lines, at data[k * stride + r]. The product of two is the inner product of every two of their lines.
template <class T, Along along>
struct Operand {
  const T* data;
  std::int64_t lines;
  std::int64_t depth;
  std::int64_t stride;

  __device__ __forceinline__ const T* at(std::int64_t line, std::int64_t k) const {
    return data + (along == Along::depth ? line * stride + k : k * stride + line);
  }
  /// Whether neighbours come in whole groups of N that can be moved at once.
  template <int N>
  __device__ __forceinline__ bool in_groups() const {
    return (along == Along::depth ? depth : lines) % N == 0 && stride % N == 0 && is_aligned<N>(data);
  }
};

inline constexpr int kTilePadding = 4;  // keeps 16-byte alignment, and moves neighbours in depth four banks on

/// A tile in shared memory: element k of line r at at[k][r].
template <class T, int lines, int depth>
struct Tile {
  static_assert(lines % 32 == 0 && depth % 8 == 0);
  alignas(16) T at[depth][lines + kTilePadding];

  /// Fills it from `first_line` and `first_k` on, with zeros beyond the operand. All `threads` of a block call it.
  template <int threads, Along along>
  __device__ __forceinline__ void load(const Operand<T, along>& from, std::int64_t first_line, std::int64_t first_k) {
    constexpr int kWide = kVector<T>;
    if (from.template in_groups<kWide>()) {
      load_groups<threads, kWide>(from, first_line, first_k);
    } else {
      load_groups<threads, 1>(from, first_line, first_k);
    }
  }

 private:
  /// N neighbours a thread at a time. Along the depth a warp takes 32 bytes each of several lines: whole sectors to
  /// read, 32 banks to write.
  template <int threads, int N, Along along>
  __device__ __forceinline__ void load_groups(const Operand<T, along>& from, std::int64_t first_line,
                                              std::int64_t first_k) {
    constexpr int kLanes = N == 1 ? 8 : 2;  // that share a line
    constexpr int kStrips = depth / (kLanes * N);
#pragma unroll 1  // more blocks in flight are worth more than more loads of a thread, which take their registers
    for (int e = static_cast<int>(threadIdx.x); e < lines * depth / N; e += threads) {
      const bool deep = along == Along::depth;
      const int line = deep ? e / 32 / kStrips * (32 / kLanes) + e % 32 / kLanes : e % (lines / N) * N;
      const int k = deep ? (e / 32 % kStrips * kLanes + e % kLanes) * N : e / (lines / N);
      Vector<T, N> values{};
      if (first_line + line < from.lines && first_k + k < from.depth) {
        values = load_vector<N>(from.at(first_line + line, first_k + k), 0);
      }
      if constexpr (along == Along::depth) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          at[k + i][line] = values[i];
        }
      } else {
        store_vector<N>(&at[k][line], 0, values);
      }
    }
  }
};

/// Four consecutive elements of shared memory, 16-byte aligned.
template <class T>
__device__ __forceinline__ void load_four(const T* x, T (&out)[4]) {
  constexpr int kWide = kVector<T> < 4 ? kVector<T> : 4;
#pragma unroll
  for (int i = 0; i < 4 / kWide; ++i) {
    const Vector<T, kWide> v = load_vector<kWide>(x, i);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      out[i * kWide + j] = v[j];
    }
  }
}

template <class T>
__device__ __forceinline__ void store_four(T* x, const T (&values)[4]) {
  constexpr int kWide = kVector<T> < 4 ? kVector<T> : 4;
#pragma unroll
  for (int i = 0; i < 4 / kWide; ++i) {
    Vector<T, kWide> v;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      v[j] = values[i * kWide + j];
    }
    store_vector<kWide>(x, i, v);
  }
}

/// sum[i][j] += the product of lines row + i of `a` and column + j of `b`, over the depth of the tiles.
template <class T, int rows, int columns, int depth>
__device__ __forceinline__ void multiply_add(const Tile<T, rows, depth>& a, int row, const Tile<T, columns, depth>& b,
                                             int column, T (&sum)[4][4]) {
#pragma unroll 8
  for (int k = 0; k < depth; ++k) {
    T left[4];
    T right[4];
    load_four(&a.at[k][row], left);
    load_four(&b.at[k][column], right);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        sum[i][j] += left[i] * right[j];
      }
    }
  }
}

}  // namespace earmark::kernels::cuda
