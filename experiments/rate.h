// A hit rate with its uncertainty.
#pragma once

#include <cstdint>

namespace earmark::experiments {

/// A closed range of shares.
struct Interval {
  double low = 0;
  double high = 1;
};

/// 95 % score interval of Wilson (JASA 22, 1927) for `hits` of `count`; 0 to 1 where count is 0. Throws Error unless
/// 0 <= hits <= count.
Interval wilson_interval(std::int64_t hits, std::int64_t count);

/// So many of so many.
struct Rate {
  std::int64_t hits = 0;
  std::int64_t count = 0;

  void add(bool hit) {
    hits += hit ? 1 : 0;
    ++count;
  }
  double share() const { return count == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(count); }
  double percent() const { return 100 * share(); }
  Interval interval() const { return wilson_interval(hits, count); }
};

}  // namespace earmark::experiments
