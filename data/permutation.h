// A random permutation of [0, n) that is never stored: any place of any shuffle in constant time (a four-round Feistel
// network on the next power of four, walked until it falls inside).
#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace earmark::data {

/// What stands at `place` (0 <= place < n) in shuffle number `shuffle` of `seed`.
inline std::int64_t permuted(std::int64_t place, std::int64_t n, std::uint64_t seed, std::uint64_t shuffle) {
  unsigned half_bits = 1;
  while ((std::int64_t{1} << (2 * half_bits)) < n) {
    ++half_bits;
  }
  const std::uint32_t mask = (1U << half_bits) - 1;
  auto value = static_cast<std::uint64_t>(place);
  do {
    auto left = static_cast<std::uint32_t>(value >> half_bits);
    auto right = static_cast<std::uint32_t>(value) & mask;
    for (std::uint32_t round = 0; round < 4; ++round) {
      const auto mixed =
          philox({right, round, static_cast<std::uint32_t>(shuffle), static_cast<std::uint32_t>(shuffle >> 32U)},
                 {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)});
      const std::uint32_t next = left ^ (mixed[0] & mask);
      left = right;
      right = next;
    }
    value = static_cast<std::uint64_t>(left) << half_bits | right;
  } while (value >= static_cast<std::uint64_t>(n));
  return static_cast<std::int64_t>(value);
}

}  // namespace earmark::data
