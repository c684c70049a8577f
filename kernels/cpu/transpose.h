// Transposition of a matrix, in tiles whose lines of both sides stay in the first-level cache; elements of four bytes
// go four by four through registers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace earmark::kernels::cpu {

/// 4 x 4 elements of four bytes.
template <class T>
inline void transpose_four(const T* in, std::int64_t in_stride, T* out, std::int64_t out_stride) {
  typedef std::uint32_t Four __attribute__((vector_size(16), aligned(4), may_alias));
  const auto row = [&](std::int64_t r) { return *reinterpret_cast<const Four*>(in + r * in_stride); };
  const Four a = __builtin_shufflevector(row(0), row(1), 0, 4, 1, 5);
  const Four b = __builtin_shufflevector(row(2), row(3), 0, 4, 1, 5);
  const Four c = __builtin_shufflevector(row(0), row(1), 2, 6, 3, 7);
  const Four d = __builtin_shufflevector(row(2), row(3), 2, 6, 3, 7);
  const auto column = [&](std::int64_t i) -> Four& { return *reinterpret_cast<Four*>(out + i * out_stride); };
  column(0) = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  column(1) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  column(2) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  column(3) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/// out[c * out_stride + r] = in[r * in_stride + c] for r in [0, rows), c in [0, columns). No overlap.
template <class T>
void transpose(const T* in, std::int64_t in_stride, std::int64_t rows, std::int64_t columns, T* out,
               std::int64_t out_stride) {
  constexpr std::int64_t kTile = 32;
  for (std::int64_t r0 = 0; r0 < rows; r0 += kTile) {
    const std::int64_t r1 = std::min(rows, r0 + kTile);
    std::int64_t c = 0;
    if constexpr (sizeof(T) == 4) {
      const std::int64_t fours = r0 + (r1 - r0) / 4 * 4;
      for (; c + 4 <= columns; c += 4) {
        for (std::int64_t r = r0; r < fours; r += 4) {
          transpose_four(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
        }
        for (std::int64_t r = fours; r < r1; ++r) {
          for (std::int64_t i = c; i < c + 4; ++i) {
            out[i * out_stride + r] = in[r * in_stride + i];
          }
        }
      }
    }
    for (; c < columns; ++c) {
      for (std::int64_t r = r0; r < r1; ++r) {
        out[c * out_stride + r] = in[r * in_stride + c];
      }
    }
  }
}

}  // namespace earmark::kernels::cpu
