// Reads stored fingerprints of any type as float, a row at a time. For the search kernels of this folder.
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/inner_product.h"

namespace earmark::kernels::cpu {

/// to[0, d) = from[0, d) as float, without its scale.
template <class T>
inline void widen(const T* from, std::int64_t d, float* to) {
  for (std::int64_t j = 0; j < d; ++j) {
    to[j] = static_cast<float>(from[j]);
  }
}

/// The same order of additions for every row, so that equal rows have equal scores.
template <class T>
inline float inner_product(const float* query, const T* row, std::int64_t d) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  std::int64_t j = 0;
  for (; j + kSums <= d; j += kSums) {
    for (int l = 0; l < kSums; ++l) {
      sums[l] += query[j + l] * static_cast<float>(row[j + l]);
    }
  }
  for (; j < d; ++j) {
    sums[j % kSums] += query[j] * static_cast<float>(row[j]);
  }
  for (int width = kSums / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) {
      sums[l] += sums[l + width];
    }
  }
  return sums[0];
}

inline float scale_of(const StoredRows& stored, std::int64_t row) {
  if (!stored.scales) {
    return 1;
  }
  return stored.scales.data<float>()[stored.scales.numel() == 1 ? 0 : row];
}

/// Calls f.operator()<T>() for the type that rows are stored in.
template <class F>
auto with_row_type(const StoredRows& stored, F&& f) {
  switch (stored.rows.dtype()) {
    case DType::f16:
      return f.template operator()<Float16>();
    case DType::i8:
      return f.template operator()<std::int8_t>();
    default:
      return f.template operator()<float>();
  }
}

}  // namespace earmark::kernels::cpu
