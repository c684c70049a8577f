// Tiles of the similarities of NT-Xent, 64 x 64 in the registers of 256 threads: what the forward and the backward pass
// have in common.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/nt_xent.h"

namespace earmark::kernels::cuda::similarity {

inline constexpr int kThreads = 256;
inline constexpr int kDepth = 32;         // of a tile in shared memory
inline constexpr int kSide = 64;          // of a tile of similarities
inline constexpr int kLanes = kSide / 4;  // threads that share a row of it
inline constexpr std::int64_t kFewestBlocks =
    264;  // two for each multiprocessor of an H100: columns are split up to reach it

/// Embeddings as lines.
template <class T>
using Embeddings = Operand<T, Along::depth>;

template <class T>
using Piece = Tile<T, kSide, kDepth>;

template <class T>
struct Pieces {
  Piece<T> left;
  Piece<T> right;
};

/// A similarity, from an inner product and 1 / temperature. The product is rounded, never joined with what is
/// subtracted from it: then both passes have the same numbers, and where a positive is all of its anchor's sum its
/// share is 1. At a temperature of 0.01 anything else would be off by 4e-6.
__device__ __forceinline__ float scaled(float product, float scale) { return __fmul_rn(product, scale); }
__device__ __forceinline__ double scaled(double product, double scale) { return product * scale; }

/// Anchors, keys, and who is who among them.
template <class T>
struct Sides {
  Embeddings<T> anchors;
  Embeddings<T> keys;
  std::int64_t offset;
  T scale;  // 1 / temperature

  explicit Sides(const NtXent& a)
      : anchors{a.anchors.data<T>(), a.anchors.dim(0), a.anchors.dim(1), a.anchors.dim(1)},
        keys{a.keys.data<T>(), a.keys.dim(0), a.keys.dim(1), a.keys.dim(1)},
        offset(a.offset),
        scale(static_cast<T>(1 / a.temperature)) {}
  __device__ __forceinline__ std::int64_t self(std::int64_t anchor) const { return offset + anchor; }
  __device__ __forceinline__ std::int64_t positive(std::int64_t anchor) const {
    const std::int64_t half = anchors.lines / 2;
    return offset + (anchor < half ? anchor + half : anchor - half);
  }
};

/// Tiles of rows, and tiles of columns in `parts` runs, a block for each of either.
struct Split {
  std::int64_t row_tiles;
  std::int64_t column_tiles;
  std::int64_t part_tiles;  // of columns
  std::int64_t parts;

  Split(std::int64_t rows, std::int64_t columns)
      : row_tiles((rows + kSide - 1) / kSide), column_tiles((columns + kSide - 1) / kSide) {
    const std::int64_t wanted = std::clamp<std::int64_t>((kFewestBlocks + row_tiles - 1) / row_tiles, 1, column_tiles);
    part_tiles = (column_tiles + wanted - 1) / wanted;
    parts = (column_tiles + part_tiles - 1) / part_tiles;
  }
  __device__ __forceinline__ std::int64_t end(std::int64_t part) const {
    const std::int64_t tile = (part + 1) * part_tiles;
    return tile < column_tiles ? tile : column_tiles;
  }
};

/// sum[i][j] = <line first_row + row + i of rows, line first_column + column + j of columns>.
template <class T>
__device__ __forceinline__ void inner_products(const Embeddings<T>& rows, std::int64_t first_row,
                                               const Embeddings<T>& columns, std::int64_t first_column,
                                               Pieces<T>& pieces, T (&sum)[4][4]) {
  for (std::int64_t k = 0; k < rows.depth; k += kDepth) {
    pieces.left.template load<kThreads>(rows, first_row, k);
    pieces.right.template load<kThreads>(columns, first_column, k);
    __syncthreads();
    multiply_add(pieces.left, static_cast<int>(threadIdx.x) / kLanes * 4, pieces.right,
                 static_cast<int>(threadIdx.x) % kLanes * 4, sum);
    __syncthreads();
  }
}

}  // namespace earmark::kernels::cuda::similarity
