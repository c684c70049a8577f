#include "kernels/gather.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/bucket_tables.h"

namespace earmark::kernels {
namespace {

using testing::RandomProbes;
using testing::RandomTables;

using Lists = std::vector<std::vector<std::int64_t>>;

Lists gather(const RandomTables& t, const RandomProbes& p, std::int64_t max_entries, std::int64_t max_candidates) {
  const std::int64_t queries = p.tables.dim(0);
  const Tensor candidates({queries, most_candidates(t.tables, p.tables.dim(1), max_entries, max_candidates) + 3},
                          DType::i64);
  const Tensor ranges({queries, 2}, DType::i64);
  gather_candidates({&t.tables, p.tables, p.buckets, max_entries, max_candidates, candidates, ranges});
  Lists out;
  for (std::int64_t q = 0; q < queries; ++q) {
    const std::int64_t* range = ranges.data<std::int64_t>() + 2 * q;
    out.emplace_back(candidates.data<std::int64_t>() + range[0], candidates.data<std::int64_t>() + range[1]);
  }
  return out;
}

/// By the definition: count, sort by count and row, cut, sort by row.
std::vector<std::int64_t> candidates_by_counting(const RandomTables& t, const RandomProbes& p, std::int64_t query,
                                                 std::int64_t max_entries, std::int64_t max_candidates) {
  std::map<std::int64_t, int> counts;
  std::int64_t entries = 0;
  const std::int64_t probes = p.tables.dim(1);
  for (std::int64_t i = query * probes; i < (query + 1) * probes; ++i) {
    const std::int32_t table = p.tables.data<std::int32_t>()[i];
    if (table < 0 || (max_entries > 0 && entries >= max_entries)) {
      break;
    }
    const auto& content = t.contents[static_cast<std::size_t>(table)];
    const auto bucket = content.find(p.buckets.data<std::int32_t>()[i]);
    for (const std::int32_t row : bucket == content.end() ? std::vector<std::int32_t>() : bucket->second) {
      ++counts[row];
      ++entries;
    }
  }
  std::vector<std::pair<int, std::int64_t>> order;
  for (const auto& [row, count] : counts) {
    order.emplace_back(-count, row);
  }
  std::sort(order.begin(), order.end());
  if (max_candidates > 0 && static_cast<std::int64_t>(order.size()) > max_candidates) {
    order.resize(static_cast<std::size_t>(max_candidates));
  }
  std::vector<std::int64_t> rows;
  for (const auto& [count, row] : order) {
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

TEST(Gather, ChoosesByTheDefinition) {
  const RandomTables tables(5, 700, 128, 1);
  const RandomProbes probes(9, 40, 5, 128, 2);
  for (const std::int64_t max_entries : {0, 1, 60, 500}) {
    for (const std::int64_t max_candidates : {0, 1, 17, 100, 5000}) {
      const Lists got = gather(tables, probes, max_entries, max_candidates);
      for (std::int64_t q = 0; q < 9; ++q) {
        EXPECT_EQ(got[static_cast<std::size_t>(q)],
                  candidates_by_counting(tables, probes, q, max_entries, max_candidates))
            << max_entries << ", " << max_candidates << ", query " << q;
      }
    }
  }
}

TEST(Gather, ThreadsDoNotChangeIt) {
  const RandomTables tables(3, 300, 64, 1);
  const RandomProbes probes(70, 12, 3, 64, 2);
  const int before = num_threads();
  set_num_threads(1);
  const Lists one = gather(tables, probes, 100, 20);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(gather(tables, probes, 100, 20), one);
  }
  set_num_threads(before);
}

TEST(Gather, TheMostIsTheLeastOfAllLimits) {
  const BucketTables tables{{}, 1000, 30};
  EXPECT_EQ(most_entries(tables, 20, 0), 600);
  EXPECT_EQ(most_entries(tables, 20, 100), 129);
  EXPECT_EQ(most_candidates(tables, 20, 0, 0), 600);
  EXPECT_EQ(most_candidates(tables, 200, 0, 0), 1000);
  EXPECT_EQ(most_candidates(tables, 200, 100, 0), 129);
  EXPECT_EQ(most_candidates(tables, 200, 100, 50), 50);
}

TEST(Gather, WhatDoesNotFitIsRefused) {
  const RandomTables tables(2, 50, 64, 1);
  const RandomProbes probes(2, 400, 2, 64, 2);
  const Tensor ranges({2, 2}, DType::i64);
  const auto with = [&](std::int64_t capacity, std::int64_t max_candidates) {
    gather_candidates(
        {&tables.tables, probes.tables, probes.buckets, 0, max_candidates, Tensor({2, capacity}, DType::i64), ranges});
  };
  EXPECT_NO_THROW(with(10, 10));
  EXPECT_THROW(with(9, 10), Error);
  EXPECT_THROW(with(49, 0), Error);
  EXPECT_NO_THROW(with(50, 1000));
  EXPECT_THROW(gather_candidates({&tables.tables, probes.tables, probes.buckets, 0, 9, Tensor({2, 9}, DType::i64),
                                  Tensor({2}, DType::i64)}),
               Error);
  const Tensor beyond = Tensor::full(probes.buckets.shape(), 64, DType::i32);
  EXPECT_THROW(gather_candidates({&tables.tables, probes.tables, beyond, 0, 9, Tensor({2, 9}, DType::i64), ranges}),
               Error);
}

}  // namespace
}  // namespace earmark::kernels
