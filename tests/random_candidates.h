// Candidates of some queries, for the tests of what is found among them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "kernels/tensor.h"

namespace earmark::testing {

/// Query q of `queries` has about q in `queries` of the rows [first, first + rows), so the first has none; where
/// `spare`, numbers that are no rows lie between the lists.
struct RandomCandidates {
  std::vector<std::vector<std::int64_t>> lists;
  Tensor rows;
  Tensor ranges;

  RandomCandidates(std::int64_t queries, std::int64_t first, std::int64_t count, bool spare, std::uint64_t seed) {
    RandomStream random(seed);
    std::vector<std::int64_t> flat;
    std::vector<std::int64_t> bounds;
    for (std::int64_t q = 0; q < queries; ++q) {
      auto& list = lists.emplace_back();
      for (std::int64_t row = first; row < first + count; ++row) {
        if (random.uniform() * static_cast<double>(queries) < static_cast<double>(q)) {
          list.push_back(row);
        }
      }
      bounds.push_back(static_cast<std::int64_t>(flat.size()));
      flat.insert(flat.end(), list.begin(), list.end());
      bounds.push_back(static_cast<std::int64_t>(flat.size()));
      flat.insert(flat.end(), spare ? 3 : 0, -1);
    }
    rows = Tensor::from<std::int64_t>({static_cast<std::int64_t>(flat.size())}, flat);
    ranges = Tensor::from<std::int64_t>({queries, 2}, bounds);
  }
};

}  // namespace earmark::testing
