// Walking (rows, C) memory in blocks that stay in L2, one vector of channels at a time, so that what belongs to a
// channel sits in registers while the rows of the block pass by.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/lanes.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {

/// Rows per block: about 64 Ki elements, a function of C alone.
inline std::int64_t rows_per_block(std::int64_t channels) {
  return std::max<std::int64_t>(1, (std::int64_t{1} << 16U) / std::max<std::int64_t>(channels, 1));
}
inline std::int64_t row_blocks(std::int64_t rows, std::int64_t channels) {
  const std::int64_t per_block = rows_per_block(channels);
  return (rows + per_block - 1) / per_block;
}

/// Calls f(block, first row, rows, first channel, channels <= lanes) for every vector of channels of every block.
template <class T, class F>
void for_channel_vectors(std::int64_t rows, std::int64_t channels, const F& f) {
  const std::int64_t per_block = rows_per_block(channels);
  parallel_for(row_blocks(rows, channels), [&](std::int64_t block) {
    const std::int64_t first = block * per_block;
    const std::int64_t count = std::min(per_block, rows - first);
    for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
      f(block, first, count, c, static_cast<int>(std::min<std::int64_t>(kLanes<T>, channels - c)));
    }
  });
}

/// The sum over `count` rows of term(row), K vectors each; four chains hide the latency of addition.
template <class T, int K, class Term>
void sum_rows(std::int64_t count, const Term& term, Vec<T> (&total)[K]) {
  constexpr int kChains = 4;
  Vec<T> chain[kChains][K] = {};
  std::int64_t row = 0;
  for (; row + kChains <= count; row += kChains) {
#pragma GCC unroll 4
    for (int j = 0; j < kChains; ++j) {
      term(row + j, chain[j]);
    }
  }
  for (; row < count; ++row) {
    term(row, chain[0]);
  }
  for (int k = 0; k < K; ++k) {
    total[k] = (chain[0][k] + chain[1][k]) + (chain[2][k] + chain[3][k]);
  }
}

}  // namespace earmark::kernels::cpu
