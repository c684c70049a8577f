// The two register tiles that every CPU convolution here is made of. Both keep R x V accumulator vectors in registers;
// per step they load R + V operands for R * V fused multiply-adds, so from 6 x 4 on (24 of 32 AVX-512 registers) the
// two multiply-add pipes, not the two load pipes, set the pace: floor = operations / (2 pipes * 2 * lanes) cycles.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

/// What happens to a tile between registers and memory.
template <class T>
struct TileStore {
  T* out;           // base of the target
  const T* bias;    // first column's bias, or null
  const T* add;     // base of the tensor added, laid out like the target, or null
  bool accumulate;  // start from what the target holds
  bool relu;
  int columns;  // valid columns of this panel, counted from the tile's first
};

/// Calls f(accumulator, offset in the target, valid columns) for each vector of a tile. Full: all columns are valid.
template <class T, int R, int V, bool Full, class F>
inline void for_each_vector(Vec<T> (&acc)[R][V], const std::int64_t* offsets, int columns, const F& f) {
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const int valid = Full ? kLanes<T> : columns - v * kLanes<T>;
      if (valid > 0) {
        f(acc[r][v], offsets[r] + v * kLanes<T>, valid);
      }
    }
  }
}

/// The way of a finished tile to memory.
template <class T, int R, int V, bool Full>
inline void store_tile(Vec<T> (&acc)[R][V], const std::int64_t* offsets, const TileStore<T>& s) {
  const auto each = [&](const auto& f) { for_each_vector<T, R, V, Full>(acc, offsets, s.columns, f); };
  if (s.accumulate) {
    each([&](Vec<T>& a, std::int64_t at, int valid) { a += load_first(s.out + at, valid); });
  }
  if (s.add != nullptr) {
    each([&](Vec<T>& a, std::int64_t at, int valid) { a += load_first(s.add + at, valid); });
  }
  if (s.relu) {
    each([&](Vec<T>& a, std::int64_t at, int valid) { store_first<T>(s.out + at, relu<T>(a), valid); });
  } else {
    each([&](Vec<T>& a, std::int64_t at, int valid) { store_first<T>(s.out + at, a, valid); });
  }
}

/// Neighbouring source elements that meet neighbouring panel rows: one tap's channels, or, where kernel positions lie
/// side by side in both, those of several.
struct Run {
  std::int64_t k;       // first row of the panel
  std::int64_t offset;  // first element, relative to a pixel's source
  std::int64_t length;
};

/// Products of a source's element and a vector of weights, for accumulate_runs: sum += x * weights.
struct FloatProducts {
  static constexpr bool kHalves = true;

  template <class W, class T>
  static void add(W& sum, T x, const W& weights) {
    sum += x * weights;
  }
};

/// acc[r][v] += sum over runs and k < length of source[r][offset + k] * panel[run.k + k][v], whose rows have V whole
/// vectors; W are whole vectors or halves.
template <class Products, class T, int R, int V, class W>
inline void accumulate_runs(W (&acc)[R][V], const T* source, const std::int64_t* source_offsets,
                            std::span<const Run> runs, const T* panel) {
  constexpr int kColumns = V * kLanes<T>;
  for (const Run& run : runs) {
    const T* w = panel + run.k * kColumns;
    const T* row[R];
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      row[r] = source + source_offsets[r] + run.offset;
    }
#pragma GCC unroll 4
    for (std::int64_t k = 0; k < run.length; ++k) {
      W b[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        b[v] = load_as<W>(w + k * kColumns + v * kLanes<T>);
      }
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          Products::add(acc[r][v], row[r][k], b[v]);
        }
      }
    }
  }
}

/// A tile of at most half a vector: many processors multiply halves twice as fast.
template <class T, int R>
void multiply_half_tile(const T* source, const std::int64_t* source_offsets, std::span<const Run> runs, const T* panel,
                        const std::int64_t* target_offsets, const TileStore<T>& s) {
  const HalfVec<T> start = s.bias != nullptr ? first_half<T>(s.bias, s.columns) : HalfVec<T>{};
  HalfVec<T> half[R][1];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    half[r][0] = start;
  }
  accumulate_runs<FloatProducts, T, R, 1>(half, source, source_offsets, runs, panel);
  Vec<T> acc[R][1];
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
    acc[r][0] = widened<T>(half[r][0]);
  }
  store_tile<T, R, 1, false>(acc, target_offsets, s);
}

/// target[r][0..V*L) (+)= sum over runs and k < length of source[r][offset + k] * panel[run.k + k][0..V*L), for R rows
/// whose sources and targets are given as offsets.
template <class T, int R, int V, class Products = FloatProducts>
void multiply_tile(const T* source, const std::int64_t* source_offsets, std::span<const Run> runs, const T* panel,
                   const std::int64_t* target_offsets, const TileStore<T>& s) {
  if constexpr (V == 1 && Products::kHalves) {
    if (s.columns <= kLanes<T> / 2) {
      return multiply_half_tile<T, R>(source, source_offsets, runs, panel, target_offsets, s);
    }
  }
  Vec<T> acc[R][V];
  for (int v = 0; v < V; ++v) {
    const int valid = s.columns - v * kLanes<T>;
    const Vec<T> start = s.bias != nullptr && valid > 0 ? load_first(s.bias + v * kLanes<T>, valid) : Vec<T>{};
#pragma GCC unroll 32
    for (int r = 0; r < R; ++r) {
      acc[r][v] = start;
    }
  }
  accumulate_runs<Products, T, R, V>(acc, source, source_offsets, runs, panel);
  if (s.columns >= V * kLanes<T>) {
    store_tile<T, R, V, true>(acc, target_offsets, s);
  } else {
    store_tile<T, R, V, false>(acc, target_offsets, s);
  }
}

/// Offsets of one pixel in the two operands of outer_tile.
struct PixelPair {
  std::int64_t a;
  std::int64_t b;
};

/// out[r][0..columns) += sum over pixels of a[pixel.a + r] * b[pixel.b + column], for R rows `stride` apart.
template <class T, int R, int V>
void outer_tile(const T* a, const T* b, const PixelPair* pixels, std::int64_t count, T* out, std::int64_t stride,
                int columns) {
  Vec<T> acc[R][V] = {};
  const int tail = columns - (V - 1) * kLanes<T>;
  if (tail >= kLanes<T>) {
    for (std::int64_t p = 0; p < count; ++p) {
      const T* x = a + pixels[p].a;
      const T* y = b + pixels[p].b;
      Vec<T> c[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        c[v] = load(y + v * kLanes<T>);
      }
#pragma GCC unroll 32
      for (int r = 0; r < R; ++r) {
        const Vec<T> s = broadcast(x[r]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          acc[r][v] += s * c[v];
        }
      }
    }
  } else {
    for (std::int64_t p = 0; p < count; ++p) {
      for (int v = 0; v < V; ++v) {
        const Vec<T> c = load_first(b + pixels[p].b + v * kLanes<T>, columns - v * kLanes<T>);
#pragma GCC unroll 32
        for (int r = 0; r < R; ++r) {
          acc[r][v] += broadcast(a[pixels[p].a + r]) * c;
        }
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const int valid = columns - v * kLanes<T>;
      T* at = out + r * stride + v * kLanes<T>;
      store_first(at, load_first(at, valid) + acc[r][v], valid);
    }
  }
}

}  // namespace earmark::kernels::cpu
