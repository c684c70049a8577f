// Transposition of as many vectors as a vector has elements, in registers: log2 of that many rounds of shuffles.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

template <class T>
using Square = std::array<Vec<T>, static_cast<std::size_t>(kLanes<T>)>;

namespace detail {
/// Exchanges, of two rows `Distance` apart, the elements on the wrong side of the diagonal of their block.
template <class T, int Distance, int... Lane>
inline void exchange(Vec<T>& upper, Vec<T>& lower, std::integer_sequence<int, Lane...> /*lanes*/) {
  const Vec<T> above = upper;
  upper = __builtin_shufflevector(above, lower, ((Lane & Distance) == 0 ? Lane : kLanes<T> + Lane - Distance)...);
  lower = __builtin_shufflevector(above, lower, ((Lane & Distance) == 0 ? Lane + Distance : kLanes<T> + Lane)...);
}

template <class T, int Distance>
inline void transpose_blocks(Square<T>& rows) {
  if constexpr (Distance < kLanes<T>) {
    for (int row = 0; row < kLanes<T>; ++row) {
      if ((row & Distance) == 0) {
        exchange<T, Distance>(rows[static_cast<std::size_t>(row)], rows[static_cast<std::size_t>(row + Distance)],
                              std::make_integer_sequence<int, kLanes<T>>());
      }
    }
    transpose_blocks<T, 2 * Distance>(rows);
  }
}
}  // namespace detail

/// Element j of row i becomes element i of row j.
template <class T>
inline void transpose_lanes(Square<T>& rows) {
  detail::transpose_blocks<T, 1>(rows);
}

}  // namespace earmark::kernels::cpu
