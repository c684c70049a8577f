#include "kernels/probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

struct Sequence {
  Tensor tables, buckets;
};

Sequence probe(const Tensor& queries, const HashFamily& family, std::int64_t probes) {
  Sequence s{Tensor({queries.dim(0), probes}, DType::i32), Tensor({queries.dim(0), probes}, DType::i32)};
  probe_sequence({queries, &family, s.tables, s.buckets});
  return s;
}

/// Every bucket of every table with its loss, in order.
std::vector<std::tuple<double, int, std::int64_t>> all_buckets(const Tensor& query, const HashFamily& family) {
  const std::int64_t n = family.padded_dimension();
  Tensor rotated({family.tables, family.functions, n});
  pseudo_rotate(query, family, rotated);
  std::vector<std::tuple<double, int, std::int64_t>> all;
  for (int table = 0; table < family.tables; ++table) {
    std::vector<std::pair<double, std::int64_t>> joined = {{0, 0}};
    for (int function = 0; function < family.functions; ++function) {
      const float* x = rotated.data<float>() + (table * family.functions + function) * n;
      const std::int64_t coordinates = function + 1 == family.functions ? family.last_dimension : n;
      double largest = 0;
      for (std::int64_t j = 0; j < coordinates; ++j) {
        largest = std::max(largest, std::abs(static_cast<double>(x[j])));
      }
      std::vector<std::pair<double, std::int64_t>> next;
      for (const auto& [loss, bucket] : joined) {
        for (std::int64_t vertex = 0; vertex < 2 * coordinates; ++vertex) {
          const double value = static_cast<double>(x[vertex / 2]) * (vertex % 2 == 0 ? 1 : -1);
          next.emplace_back(loss + (largest - value) * (largest - value), bucket * 2 * coordinates + vertex);
        }
      }
      joined = std::move(next);
    }
    for (const auto& [loss, bucket] : joined) {
      all.emplace_back(loss, table, bucket);
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST(ProbeSequenceTest, HomeBucketsThenAscendingLoss) {
  const HashFamily family = make_hash_family(8, 3, 7, 1, 5);  // 4 + 3 bits: 128 buckets in each of 3 tables
  const Tensor queries = draw({4, 8}, Domain::normal, DType::f32, 1);
  constexpr std::int64_t kProbes = 200;
  const Sequence s = probe(queries, family, kProbes);
  Tensor homes({4, family.tables}, DType::i32);
  cross_polytope_hash({queries, &family, homes});
  for (std::int64_t q = 0; q < 4; ++q) {
    const std::int32_t* tables = s.tables.data<std::int32_t>() + q * kProbes;
    const std::int32_t* buckets = s.buckets.data<std::int32_t>() + q * kProbes;
    for (int t = 0; t < family.tables; ++t) {
      EXPECT_EQ(tables[t], t);
      EXPECT_EQ(buckets[t], homes.data<std::int32_t>()[q * family.tables + t]);
    }
    std::map<std::pair<int, std::int64_t>, double> losses;
    const auto expected = all_buckets(queries.slice(q, q + 1).reshape({8}), family);
    for (const auto& [loss, table, bucket] : expected) {
      losses[{table, bucket}] = loss;
    }
    std::set<std::pair<int, std::int64_t>> seen;
    for (std::int64_t p = 0; p < kProbes; ++p) {
      EXPECT_TRUE(seen.insert({tables[p], buckets[p]}).second) << "probed twice";
      EXPECT_NEAR((losses[{tables[p], buckets[p]}]), std::get<0>(expected[static_cast<std::size_t>(p)]), 1e-4);
    }
  }
}

TEST(ProbeSequenceTest, EndsWhereThereAreNoMoreBuckets) {
  const HashFamily family = make_hash_family(2, 2, 3, 1, 5);  // 4 * 2 buckets in each of 2 tables
  const Sequence s = probe(draw({1, 2}, Domain::normal, DType::f32, 2), family, 20);
  const auto tables = s.tables.values<std::int32_t>();
  EXPECT_EQ(std::count(tables.begin(), tables.end(), -1), 4);
  EXPECT_EQ(tables[15], std::max(tables[15], 0));
  EXPECT_EQ(tables[16], -1);
}

TEST(ProbeSequenceTest, ThreadsDoNotChangeTheSequence) {
  const HashFamily family = make_hash_family(128, 10, 18, 1, 5);
  const Tensor queries = draw({30, 128}, Domain::normal, DType::f32, 3);
  const int before = num_threads();
  set_num_threads(1);
  const Sequence one = probe(queries, family, 150);
  set_num_threads(3);
  const Sequence three = probe(queries, family, 150);
  set_num_threads(before);
  EXPECT_TRUE(std::ranges::equal(one.tables.values<std::int32_t>(), three.tables.values<std::int32_t>()));
  EXPECT_TRUE(std::ranges::equal(one.buckets.values<std::int32_t>(), three.buckets.values<std::int32_t>()));
}

TEST(ProbeSequenceTest, AtLeastOneProbePerTable) {
  const HashFamily family = make_hash_family(8, 5, 7, 1, 5);
  EXPECT_THROW(probe(draw({1, 8}, Domain::normal, DType::f32, 1), family, 4), Error);
}

}  // namespace
}  // namespace earmark::kernels
