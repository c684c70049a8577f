// The inner loops of spectral-temporal attention for one sample and one vector of channels, over a slab whose vectors
// come from a functor: plain memory, or batch norm, residual sum and ReLU computed on the fly. Rows are taken four at a
// time, so that one pass of the temporal accumulators through L1 serves four rows.
// Floor: two multiply-adds per element and pass; in cache about one cycle per vector.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/lanes_math.h"

namespace earmark::kernels::cpu {

/// Per-thread vectors of one slab. spectral: one per f; temporal: one per t.
template <class T>
struct SlabVectors {
  std::vector<Vec<T>> spectral;
  std::vector<Vec<T>> temporal;

  void reset(std::int64_t f, std::int64_t t) {
    spectral.assign(static_cast<std::size_t>(f), Vec<T>{});
    temporal.assign(static_cast<std::size_t>(t), Vec<T>{});
  }
};

inline constexpr int kSlabRows = 4;

/// Adds to temporal[t] the products with by_row[f] and to spectral[f] those with by_column[t], for Rows rows from f on.
template <int Rows, class T, class Element>
inline void project_rows(const Element& element, std::int64_t f, std::int64_t columns, const Vec<T>* by_column,
                         const Vec<T>* by_row, Vec<T>* spectral, Vec<T>* temporal) {
  Vec<T> sum[Rows] = {};
  Vec<T> weight[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
    weight[r] = by_row[f + r];
  }
  for (std::int64_t t = 0; t < columns; ++t) {
    const Vec<T> w = by_column[t];
    Vec<T> column = temporal[t];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> value = element(f + r, t);
      sum[r] += value * w;
      column += value * weight[r];
    }
    temporal[t] = column;
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
    spectral[f + r] += sum[r];
  }
}

/// spectral[f] += sum_t element(f, t) * by_column[t]; temporal[t] += sum_f element(f, t) * by_row[f].
template <class T, class Element>
void project(const Element& element, std::int64_t rows, std::int64_t columns, const Vec<T>* by_column,
             const Vec<T>* by_row, SlabVectors<T>& sums) {
  std::int64_t f = 0;
  for (; f + kSlabRows <= rows; f += kSlabRows) {
    project_rows<kSlabRows, T>(element, f, columns, by_column, by_row, sums.spectral.data(), sums.temporal.data());
  }
  for (; f < rows; ++f) {
    project_rows<1, T>(element, f, columns, by_column, by_row, sums.spectral.data(), sums.temporal.data());
  }
}

/// Softmax over the entries, lane by lane, in place; the largest logit is taken out first.
template <class T>
void softmax(std::vector<Vec<T>>& v) {
  Vec<T> largest = v[0];
  for (const Vec<T>& x : v) {
    largest = x > largest ? x : largest;
  }
  Vec<T> sum{};
  for (Vec<T>& x : v) {
    x = exp<T>(x - largest);
    sum += x;
  }
  const Vec<T> inverse = 1 / sum;
  for (Vec<T>& x : v) {
    x *= inverse;
  }
}

template <class T>
void tanh_all(std::vector<Vec<T>>& v) {
  for (Vec<T>& x : v) {
    x = tanh<T>(x);
  }
}

/// The gradient of a softmax's logits from that of its result: dl = a * (da - sum a * da), then through tanh where
/// `logits` (before tanh) are given. Overwrites `gradient`.
template <class T>
void softmax_backward(const std::vector<Vec<T>>& probability, std::vector<Vec<T>>& gradient,
                      const std::vector<Vec<T>>* logits) {
  Vec<T> mean{};
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    mean += probability[i] * gradient[i];
  }
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    gradient[i] = probability[i] * (gradient[i] - mean);
    if (logits != nullptr) {
      const Vec<T> y = tanh<T>((*logits)[i]);
      gradient[i] *= 1 - y * y;
    }
  }
}

/// One vector of channels of a (count, C) matrix into `to`, and back.
template <class T>
void load_columns(const T* from, std::int64_t count, std::int64_t channels, int n, std::vector<Vec<T>>& to) {
  to.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    to[static_cast<std::size_t>(i)] = load_first(from + i * channels, n);
  }
}
template <class T>
void store_columns(const std::vector<Vec<T>>& from, std::int64_t channels, int n, T* to) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    store_first<T>(to + static_cast<std::int64_t>(i) * channels, from[i], n);
  }
}

}  // namespace earmark::kernels::cpu
