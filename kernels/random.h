// Randomness as a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A draw is a pure function of (seed, stream, counter), so threads, ranks and resuming do not change the numbers.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace earmark {

/// Ten rounds of Philox over a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiply0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiply1 = 0xCD9E8D57U;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = kMultiply0 * counter[0];
    const std::uint64_t p1 = kMultiply1 * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32U) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32U) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  return counter;
}

/// Where the draws of one (seed, stream) lie among all that there are: block n of index i is philox(counter(n, i),
/// key).
struct RandomPlace {
  std::array<std::uint32_t, 2> key;
  std::uint32_t word;  ///< The stream's share of the counter.

  constexpr explicit RandomPlace(std::uint64_t seed, std::uint64_t stream = 0) {
    const std::uint64_t mixed = stream * 0x9E3779B97F4A7C15U;
    key = {static_cast<std::uint32_t>(seed),
           static_cast<std::uint32_t>(seed >> 32U) ^ static_cast<std::uint32_t>(mixed)};
    word = static_cast<std::uint32_t>(mixed >> 32U) ^ static_cast<std::uint32_t>(stream);
  }
  constexpr std::array<std::uint32_t, 4> counter(std::uint32_t block, std::uint64_t index) const {
    return {block, word, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U)};
  }
};

/// A sequence of draws belonging to one (seed, stream, index): one sample of one step, one parameter, one query.
class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed, std::uint64_t stream = 0, std::uint64_t index = 0)
      : place_(seed, stream), index_(index) {}

  std::uint32_t bits() {
    if (used_ == 4) {
      refill();
    }
    return block_[used_++];
  }
  /// Uniform in [0, 1), 53 bits.
  double uniform() {
    const std::uint64_t high = bits() >> 5U;
    const std::uint64_t low = bits() >> 6U;
    return static_cast<double>((high << 26U) | low) * 0x1p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n); n > 0. Bias below 2^-40 for any n < 2^24.
  std::uint64_t below(std::uint64_t n) {
    const auto scaled = static_cast<std::uint64_t>(uniform() * static_cast<double>(n));
    return scaled < n ? scaled : n - 1;
  }
  /// Standard normal (Box-Muller; the second value of each pair is dropped, so the count of draws is fixed).
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  void refill() {
    block_ = philox(place_.counter(block_number_++, index_), place_.key);
    used_ = 0;
  }

  RandomPlace place_;
  std::uint64_t index_;
  std::uint32_t block_number_ = 0;
  std::array<std::uint32_t, 4> block_{};
  std::size_t used_ = 4;
};

}  // namespace earmark
