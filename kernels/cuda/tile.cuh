// Matrix products in tiles of shared memory, for kernels that work on a product before it reaches memory: a tile of
// either operand is laid down with the summed index outside, and each thread keeps a small rectangle of the product in
// registers. Sums run in the order of the summed index: the same bits every time. Floor on an H100: 2 operations a
// multiply-add at 67 TFLOP/s in float; two 16-byte reads of shared memory for 16 multiply-adds leave half of it.
#pragma once

#include "kernels/cuda/vector.cuh"

namespace earmark::kernels::cuda {

/// One side of a product: `lines` vectors of `depth` elements, the element k of line r at
/// data[r * line_stride + k * depth_stride]. The product of two is the inner product of every two of their lines.
template <class T>
struct Operand {
  const T* data;
  std::int64_t lines;
  std::int64_t depth;
  std::int64_t line_stride;
  std::int64_t depth_stride;
};

inline constexpr int kTilePadding = 4;  // keeps 16-byte alignment, and moves neighbours in depth four banks on

/// A tile in shared memory: element k of line r at at[k][r].
template <class T, int lines, int depth>
struct Tile {
  static_assert(lines % 32 == 0 && depth % 8 == 0);
  alignas(16) T at[depth][lines + kTilePadding];

  /// Fills it from `first_line` and `first_k` on, with zeros beyond the operand. All `threads` of a block call it.
  template <int threads>
  __device__ __forceinline__ void load(const Operand<T>& from, std::int64_t first_line, std::int64_t first_k) {
    constexpr int kStrips = depth / 8;
    for (int e = static_cast<int>(threadIdx.x); e < lines * depth; e += threads) {
      int line = e % lines;
      int k = e / lines;
      if (from.depth_stride == 1) {  // a warp takes 8 elements of 4 lines: whole sectors to read, 32 banks to write
        line = e / 32 / kStrips * 4 + e % 32 / 8;
        k = e / 32 % kStrips * 8 + e % 8;
      }
      const std::int64_t r = first_line + line;
      const std::int64_t d = first_k + k;
      const bool inside = r < from.lines && d < from.depth;
      at[k][line] = inside ? from.data[r * from.line_stride + d * from.depth_stride] : T{0};
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
