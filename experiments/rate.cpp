#include "experiments/rate.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace earmark::experiments {

Interval wilson_interval(std::int64_t hits, std::int64_t count) {
  check(hits >= 0 && hits <= count, "Wilson interval: expected 0 <= hits <= count, got ", hits, " of ", count);
  if (count == 0) {
    return {};
  }
  constexpr double kZ = 1.959963984540054;  // The normal distribution's 97.5 % point.
  const auto n = static_cast<double>(count);
  const double p = static_cast<double>(hits) / n;
  const double denominator = 1 + kZ * kZ / n;
  const double centre = (p + kZ * kZ / (2 * n)) / denominator;
  const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) / denominator;
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace earmark::experiments
