// Whether one of two systems that were asked the same questions is better, or chance alone would make them differ so:
// McNemar's test (Psychometrika 12, 1947).
#pragma once

#include <cstdint>

namespace earmark::experiments {

/// Questions that only one of the two answered right; those that both did, or neither, say nothing.
struct Discordant {
  std::int64_t only_first = 0;
  std::int64_t only_second = 0;

  std::int64_t count() const { return only_first + only_second; }
};

/// Differences with a smaller p-value are taken to be real.
inline constexpr double kRealBelowP = 0.05;
/// Of fewer discordant pairs the binomial distribution is asked; of more, chi-squared is near enough.
inline constexpr std::int64_t kExactBelowPairs = 25;

struct McNemar {
  double p = 1;       ///< Two-sided.
  bool exact = true;  ///< Binomial; else chi-squared of one degree with Edwards' correction, (|b - c| - 1)^2 / (b + c).

  bool real() const { return p < kRealBelowP; }
};

/// Throws Error on negative counts.
McNemar mcnemar(const Discordant& pairs);

}  // namespace earmark::experiments
