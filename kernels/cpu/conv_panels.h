// Weights packed into the panels that multiply_tile reads, and the loop over rows that uses them.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/conv.h"
#include "kernels/cpu/conv_tile.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {

inline constexpr int kWidestTile = kVectorRegisters == 32 ? 4 : 2;

// Rows of a tile with V vectors of columns, so that accumulators, V weights and one broadcast fit the registers.
template <int V>
inline constexpr int kTileRows = kVectorRegisters == 32 ? (V == 4   ? 6
                                                           : V == 2 ? 10
                                                                    : 12)
                                                        : (V == 2 ? 4 : 6);

/// Weights as multiply_tile reads them: [column block][depth chunk][tap][k][column], columns padded with zeros.
template <class T>
struct Panels {
  Tensor data;
  std::int64_t taps = 0;
  std::int64_t depth = 0;
  std::int64_t columns = 0;  // valid ones
  std::int64_t chunk = 0;    // of the depth
  int vectors = 0;           // V of the tile

  Panels() = default;
  Panels(std::int64_t tap_count, std::int64_t inputs, std::int64_t outputs, std::int64_t depth_chunk);

  std::int64_t width() const { return std::int64_t{vectors} * kLanes<T>; }
  std::int64_t blocks() const { return data.dim(0); }
  const T* block(std::int64_t i) const { return data.template data<T>() + i * taps * depth * width(); }
  int valid_columns(std::int64_t i) const { return static_cast<int>(std::min(width(), columns - i * width())); }
  /// From weights whose element (tap, k, column) sits at tap * tap_step + k * k_step + column * column_step.
  void fill(const T* weight, std::int64_t tap_step, std::int64_t k_step, std::int64_t column_step) const;
};

/// Calls f.operator()<V>() with the panels' tile width as a constant.
template <class F>
void with_tile_vectors(int vectors, const F& f) {
  switch (vectors) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    default:
      return f.template operator()<kWidestTile>();
  }
}

}  // namespace earmark::kernels::cpu
