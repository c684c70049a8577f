#include "kernels/gathered_topk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"
#include "tests/random_candidates.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;
using testing::RandomCandidates;

struct BestCandidates {
  Tensor scores, indices;
};

/// Among rows that are given in two blocks.
BestCandidates best_of(const Tensor& queries, const Tensor& rows, const RandomCandidates& candidates, std::int64_t k,
                       std::int64_t split) {
  const Shape shape{queries.dim(0), k};
  GatheredTopK args{queries, {}, 0, candidates.rows, candidates.ranges, Tensor(shape), Tensor(shape, DType::i64)};
  topk_begin({queries, {}, 0, args.scores, args.indices});
  for (const auto& [begin, end] : {std::pair{std::int64_t{0}, split}, std::pair{split, rows.dim(0)}}) {
    args.stored = {rows.slice(begin, end), {}};
    args.first_row = begin;
    gathered_topk(args);
  }
  return {args.scores, args.indices};
}

TEST(GatheredTopK, IsTheSortedList) {
  for (const std::int64_t k : {1, 3, 40}) {
    for (const std::int64_t split : {0, 17, 60}) {
      const Tensor rows = draw({60, 5}, Domain::ties, DType::f32, 1);
      const Tensor queries = draw({6, 5}, Domain::ties, DType::f32, 2);
      const RandomCandidates candidates(6, 0, 60, split == 17, 3);
      const BestCandidates got = best_of(queries, rows, candidates, k, split);
      for (std::int64_t q = 0; q < 6; ++q) {
        std::vector<std::pair<float, std::int64_t>> want;
        for (const std::int64_t row : candidates.lists[static_cast<std::size_t>(q)]) {
          const float score = std::inner_product(queries.data<float>() + q * 5, queries.data<float>() + (q + 1) * 5,
                                                 rows.data<float>() + row * 5, 0.0F);
          want.emplace_back(-score, row);
        }
        std::sort(want.begin(), want.end());
        want.resize(static_cast<std::size_t>(k), {std::numeric_limits<float>::infinity(), -1});
        for (std::int64_t i = 0; i < k; ++i) {
          EXPECT_EQ(got.indices.data<std::int64_t>()[q * k + i], want[static_cast<std::size_t>(i)].second);
          EXPECT_EQ(got.scores.data<float>()[q * k + i], -want[static_cast<std::size_t>(i)].first);
        }
      }
    }
  }
}

TEST(GatheredTopK, WhatIsNoNumberIsNotFound) {
  const Tensor rows = Tensor::full({3, 2}, 1);
  rows.mutable_data<float>()[2] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int64_t> all{0, 1, 2};
  const std::vector<std::int64_t> range{0, 3};
  const GatheredTopK args{Tensor::full({1, 2}, 1),
                          {rows, {}},
                          0,
                          Tensor::from<std::int64_t>({3}, all),
                          Tensor::from<std::int64_t>({1, 2}, range),
                          Tensor({1, 3}),
                          Tensor({1, 3}, DType::i64)};
  topk_begin({args.queries, {}, 0, args.scores, args.indices});
  gathered_topk(args);
  const std::vector<std::int64_t> want{0, 2, -1};
  EXPECT_TRUE(std::ranges::equal(args.indices.values<std::int64_t>(), want));
}

TEST(GatheredTopK, ThreadsDoNotChangeIt) {
  const Tensor rows = draw({200, 33}, Domain::unit_rows, DType::f32, 1);
  const Tensor queries = draw({70, 33}, Domain::unit_rows, DType::f32, 2);
  const RandomCandidates candidates(70, 0, 200, false, 3);
  const int before = num_threads();
  set_num_threads(1);
  const BestCandidates one = best_of(queries, rows, candidates, 9, 50);
  for (const int threads : {2, 3}) {
    set_num_threads(threads);
    const BestCandidates more = best_of(queries, rows, candidates, 9, 50);
    EXPECT_TRUE(std::ranges::equal(more.scores.values<float>(), one.scores.values<float>()));
    EXPECT_TRUE(std::ranges::equal(more.indices.values<std::int64_t>(), one.indices.values<std::int64_t>()));
  }
  set_num_threads(before);
}

TEST(GatheredTopK, RefusesListsThatAreNotThere) {
  const auto with = [](std::int64_t begin, std::int64_t end, std::int64_t queries) {
    const std::vector<std::int64_t> range{begin, end};
    gathered_topk({Tensor::full({queries, 2}, 1),
                   {Tensor::full({4, 2}, 1), {}},
                   0,
                   Tensor::zeros({3}, DType::i64),
                   Tensor::from<std::int64_t>({1, 2}, range),
                   Tensor::zeros({1, 2}),
                   Tensor::zeros({1, 2}, DType::i64)});
  };
  EXPECT_NO_THROW(with(0, 3, 1));
  EXPECT_THROW(with(0, 4, 1), Error);
  EXPECT_THROW(with(2, 1, 1), Error);
  EXPECT_THROW(with(0, 3, 2), Error);
}

}  // namespace
}  // namespace earmark::kernels
