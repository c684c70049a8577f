// The matrix product of one thread: tiles of a few rows by two vectors kept in registers over packed panels (Goto & van
// de Geijn, "Anatomy of high-performance matrix multiplication", 2008). Every element is summed in the order of the
// depth, so results depend on neither threads nor the tile an element falls into.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

/// A matrix anywhere in memory: element (i, j) is data[i * row_stride + j * column_stride].
template <class T>
struct MatrixView {
  const T* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

namespace gemm {

// A tile's sums, one panel row and a broadcast fill the vector registers.
constexpr std::int64_t kTileHeight = kVectorRegisters >= 32 ? 8 : 6;
constexpr std::int64_t kDepthBlock = 256;
constexpr std::int64_t kRowBlock = 8 * kTileHeight;
constexpr std::int64_t kColumnBlock = 256;
template <class T>
constexpr std::int64_t kTileWidth = 2 * kLanes<T>;

/// Copies `count` of a matrix's rows (seen through strides) into panels of `width`: panel[k * width + i], zero-padded.
template <class T>
void pack(const T* from, std::int64_t stride, std::int64_t depth_stride, std::int64_t count, std::int64_t depth,
          std::int64_t width, T* panel) {
  for (std::int64_t first = 0; first < count; first += width, panel += depth * width) {
    const std::int64_t used = std::min(width, count - first);
    for (std::int64_t k = 0; k < depth; ++k) {
      const T* column = from + first * stride + k * depth_stride;
      for (std::int64_t i = 0; i < used; ++i) {
        panel[k * width + i] = column[i * stride];
      }
      std::fill(panel + k * width + used, panel + (k + 1) * width, T{0});
    }
  }
}

/// out (rows, columns; at most one tile) = or += panel_a panel_b.
template <class T>
void multiply_tile(const T* a, const T* b, std::int64_t depth, T* out, std::int64_t out_stride, std::int64_t rows,
                   std::int64_t columns, bool accumulate) {
  Vec<T> sums[kTileHeight][2] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    const auto left = load(b + k * kTileWidth<T>);
    const auto right = load(b + k * kTileWidth<T> + kLanes<T>);
    for (int i = 0; i < kTileHeight; ++i) {
      sums[i][0] += a[k * kTileHeight + i] * left;
      sums[i][1] += a[k * kTileHeight + i] * right;
    }
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    T row[kTileWidth<T>];
    std::memcpy(row, sums[i], sizeof row);
    T* to = out + i * out_stride;
    for (std::int64_t j = 0; j < columns; ++j) {
      to[j] = accumulate ? to[j] + row[j] : row[j];
    }
  }
}

}  // namespace gemm

/// out (rows, columns) = a (rows, depth) b (depth, columns), or += if asked; out's rows are out_stride apart.
template <class T>
void multiply(MatrixView<T> a, MatrixView<T> b, T* out, std::int64_t out_stride, std::int64_t rows,
              std::int64_t columns, std::int64_t depth, bool accumulate = false) {
  using namespace gemm;
  constexpr std::int64_t kWidth = kTileWidth<T>;
  thread_local std::vector<T> panel_a(kRowBlock * kDepthBlock);
  thread_local std::vector<T> panel_b(kColumnBlock * kDepthBlock);
  if (depth == 0 && !accumulate) {
    for (std::int64_t i = 0; i < rows; ++i) {
      std::fill_n(out + i * out_stride, columns, T{0});
    }
  }
  for (std::int64_t k = 0; k < depth; k += kDepthBlock) {
    const std::int64_t deep = std::min(kDepthBlock, depth - k);
    for (std::int64_t j = 0; j < columns; j += kColumnBlock) {
      const std::int64_t wide = std::min(kColumnBlock, columns - j);
      pack(b.data + k * b.row_stride + j * b.column_stride, b.column_stride, b.row_stride, wide, deep, kWidth,
           panel_b.data());
      for (std::int64_t i = 0; i < rows; i += kRowBlock) {
        const std::int64_t high = std::min(kRowBlock, rows - i);
        pack(a.data + i * a.row_stride + k * a.column_stride, a.row_stride, a.column_stride, high, deep, kTileHeight,
             panel_a.data());
        for (std::int64_t jj = 0; jj < wide; jj += kWidth) {
          for (std::int64_t ii = 0; ii < high; ii += kTileHeight) {
            multiply_tile(panel_a.data() + ii * deep, panel_b.data() + jj * deep, deep,
                          out + (i + ii) * out_stride + j + jj, out_stride, std::min(kTileHeight, high - ii),
                          std::min(kWidth, wide - jj), accumulate || k > 0);
          }
        }
      }
    }
  }
}

}  // namespace earmark::kernels::cpu
