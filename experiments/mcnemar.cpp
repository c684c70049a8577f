#include "experiments/mcnemar.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

// Twice the probability of at most `fewer` heads in `count` throws.
double binomial_p(std::int64_t fewer, std::int64_t count) {
  double ways = 1;  // of choosing `heads` of `count`
  double sum = 0;
  for (std::int64_t heads = 0; heads <= fewer; ++heads) {
    sum += ways;
    ways *= static_cast<double>(count - heads) / static_cast<double>(heads + 1);
  }
  return std::min(1.0, 2 * std::ldexp(sum, -static_cast<int>(count)));
}

double chi_squared_p(double value) { return std::erfc(std::sqrt(value / 2)); }

}  // namespace

McNemar mcnemar(const Discordant& pairs) {
  check(pairs.only_first >= 0 && pairs.only_second >= 0, "McNemar's test: expected counts, got ", pairs.only_first,
        " and ", pairs.only_second);
  const std::int64_t count = pairs.count();
  if (count < kExactBelowPairs) {
    return {binomial_p(std::min(pairs.only_first, pairs.only_second), count), true};
  }
  const auto difference = static_cast<double>(std::abs(pairs.only_first - pairs.only_second));
  const double corrected = std::max(0.0, difference - 1);
  return {chi_squared_p(corrected * corrected / static_cast<double>(count)), false};
}

}  // namespace earmark::experiments
