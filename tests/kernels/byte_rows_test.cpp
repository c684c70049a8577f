#include "kernels/byte_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "kernels/gathered_topk.h"
#include "kernels/inner_product.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"
#include "tests/random_candidates.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;
using testing::RandomCandidates;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

StoredRows narrowed_to(const Tensor& rows, DType dtype) {
  StoredRows stored{Tensor(rows.shape(), dtype), {}};
  if (dtype == DType::i8) {
    stored.scales = Tensor({rows.dim(0)});
  }
  narrow_rows(rows, stored);
  return stored;
}

/// The k best in blocks that end at `ends`, by bytes first or without them.
InnerProductTopK best_rows(const Tensor& queries, const StoredRows& rows, std::int64_t k, bool by_bytes,
                           const std::vector<std::int64_t>& ends) {
  InnerProductTopK args{queries, {}, 0, Tensor({queries.dim(0), k}), Tensor({queries.dim(0), k}, DType::i64)};
  topk_begin(args);
  const ByteRows bytes = by_bytes ? make_byte_rows(rows) : ByteRows();
  for (const std::int64_t end : ends) {
    args.stored = rows.slice(args.first_row, end);
    args.bytes = by_bytes ? bytes.slice(args.first_row, end) : ByteRows();
    inner_product_topk(args);
    args.first_row = end;
  }
  return args;
}

void expect_same(const Tensor& scores, const Tensor& indices, const Tensor& other_scores, const Tensor& other_indices) {
  EXPECT_TRUE(std::ranges::equal(scores.values<float>(), other_scores.values<float>()));
  EXPECT_TRUE(std::ranges::equal(indices.values<std::int64_t>(), other_indices.values<std::int64_t>()));
}

void expect_same_best(const Tensor& queries, const StoredRows& rows, std::int64_t k) {
  const std::int64_t n = rows.rows.dim(0);
  for (const std::vector<std::int64_t>& ends :
       {std::vector<std::int64_t>{n}, {n / 3, n}, {n / 5, n / 5, n / 2, n - 1, n}}) {
    const InnerProductTopK plain = best_rows(queries, rows, k, false, ends);
    const InnerProductTopK by_bytes = best_rows(queries, rows, k, true, ends);
    expect_same(by_bytes.scores, by_bytes.indices, plain.scores, plain.indices);
  }
}

struct ByteCase {
  std::int64_t queries, rows, dimension, k;
};

class ByteRowsOf : public ::testing::TestWithParam<std::tuple<ByteCase, DType, Domain>> {};

TEST_P(ByteRowsOf, FindTheSameBestAsAllRows) {
  const auto& [c, dtype, domain] = GetParam();
  const Tensor queries = draw({c.queries, c.dimension}, domain, DType::f32, 1);
  expect_same_best(queries, narrowed_to(draw({c.rows, c.dimension}, domain, DType::f32, 2), dtype), c.k);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ByteRowsOf,
                         ::testing::Combine(::testing::Values(ByteCase{1, 1, 1, 1}, ByteCase{1, 3, 5, 5},
                                                              ByteCase{17, 100, 128, 5}, ByteCase{41, 517, 128, 20},
                                                              ByteCase{49, 64, 33, 4}, ByteCase{100, 20000, 64, 5}),
                                            ::testing::Values(DType::f32, DType::f16, DType::i8),
                                            ::testing::Values(Domain::unit_rows, Domain::ties)));

TEST(ByteRows, LeaveHardlyAnyRow) {
  const Tensor queries = draw({41, 128}, Domain::unit_rows, DType::f32, 3);
  const StoredRows rows{draw({30000, 128}, Domain::unit_rows, DType::f32, 4), {}};
  const ByteScan scan{queries, make_byte_rows(rows), 5, std::vector<float>(41, -kInfinity)};
  const std::vector<std::int64_t> left = cpu::scan_bytes(scan);
  EXPECT_TRUE(std::ranges::is_sorted(left));
  EXPECT_LT(left.size(), 3000U);
  const InnerProductTopK best = best_rows(queries, rows, 5, false, {30000});
  for (const std::int64_t row : best.indices.values<std::int64_t>()) {
    EXPECT_TRUE(std::ranges::binary_search(left, row));
  }
}

TEST(ByteRows, ALimitThatNoRowExceedsLeavesNone) {
  const Tensor queries = draw({3, 16}, Domain::unit_rows, DType::f32, 5);
  const ByteRows rows = make_byte_rows({draw({50, 16}, Domain::unit_rows, DType::f32, 6), {}});
  EXPECT_TRUE(cpu::scan_bytes({queries, rows, 2, std::vector<float>(3, 2)}).empty());
}

TEST(ByteRows, EqualRowsKeepTheirOrder) {
  const Tensor queries = draw({3, 16}, Domain::unit_rows, DType::f32, 7);
  const Tensor rows({20000, 16});
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    rows.slice(i, i + 1).copy_from(queries.slice(i % 2, i % 2 + 1));
  }
  expect_same_best(queries, {rows, {}}, 4);
}

TEST(ByteRows, WhatIsNotFiniteOrHugeIsComparedAsItIs) {
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, 3e38F, 1e-42F, 0.0F}) {
    const Tensor queries = draw({5, 8}, Domain::unit_rows, DType::f32, 8);
    const Tensor rows = draw({300, 8}, Domain::unit_rows, DType::f32, 9);
    for (std::int64_t i = 0; i < 300; i += 7) {
      std::fill_n(rows.mutable_data<float>() + i * 8, 8, odd);
    }
    SCOPED_TRACE(odd);
    expect_same_best(queries, {rows, {}}, 6);
    std::fill_n(queries.mutable_data<float>() + 16, 8, odd);
    expect_same_best(queries, {rows, {}}, 6);
  }
}

TEST(ByteRows, FactsAreThoseOfTheRow) {
  const Tensor rows = Tensor::from<float>({2, 3}, std::vector<float>{1.27F, -0.5F, 0.004F, 0, 0, 0});
  const ByteRows bytes = make_byte_rows({rows, {}});
  EXPECT_EQ(bytes.bytes.shape(), (Shape{2, 4}));
  const auto values = bytes.bytes.values<std::int8_t>();
  EXPECT_EQ(std::vector<int>(values.begin(), values.end()), (std::vector<int>{127, -50, 0, 0, 0, 0, 0, 0}));
  const auto facts = bytes.facts.values<float>();
  EXPECT_NEAR(facts[0], 0.01, 1e-8);
  EXPECT_NEAR(facts[1], std::sqrt(1.27 * 1.27 + 0.25), 1e-5);
  EXPECT_NEAR(facts[2], 0.004, 1e-6);
  EXPECT_EQ(facts[3], 77);
}

TEST(ByteRows, OfRowsOfBytesAreTheseVeryRows) {
  const StoredRows rows = narrowed_to(draw({10, 8}, Domain::unit_rows, DType::f32, 10), DType::i8);
  EXPECT_EQ(make_byte_rows(rows).bytes.data<std::int8_t>(), rows.rows.data<std::int8_t>());
}

TEST(ByteRows, ThreadsDoNotChangeWhatIsFound) {
  const Tensor queries = draw({50, 32}, Domain::unit_rows, DType::f32, 11);
  const StoredRows rows{draw({30000, 32}, Domain::unit_rows, DType::f32, 12), {}};
  const int before = num_threads();
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    expect_same_best(queries, rows, 5);
  }
  set_num_threads(before);
}

TEST(ByteRows, CandidatesAreFoundAsWithoutThem) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    for (const Domain domain : {Domain::unit_rows, Domain::ties}) {
      for (const std::int64_t dimension : {5, 64, 130}) {
        const Tensor queries = draw({20, dimension}, domain, DType::f32, 13);
        std::fill_n(queries.mutable_data<float>() + 7 * dimension, dimension, std::numeric_limits<float>::quiet_NaN());
        const StoredRows rows = narrowed_to(draw({400, dimension}, domain, DType::f32, 14), dtype);
        const RandomCandidates candidates(20, 0, 400, true, 15);
        const auto best = [&](bool by_bytes) {
          const Shape shape{20, 3};
          GatheredTopK args{
              queries, {}, 0, candidates.rows, candidates.ranges, Tensor(shape), Tensor(shape, DType::i64)};
          topk_begin({queries, {}, 0, args.scores, args.indices});
          for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 150}, {150, 400}}) {
            args.stored = rows.slice(begin, end);
            args.first_row = begin;
            args.bytes = by_bytes ? make_byte_rows(args.stored) : ByteRows();
            gathered_topk(args);
          }
          return args;
        };
        const GatheredTopK plain = best(false);
        const GatheredTopK by_bytes = best(true);
        expect_same(by_bytes.scores, by_bytes.indices, plain.scores, plain.indices);
      }
    }
  }
}

TEST(ByteRows, ThoseOfOtherRowsAreRefused) {
  const Tensor queries = draw({2, 8}, Domain::unit_rows, DType::f32, 16);
  const StoredRows rows{draw({10, 8}, Domain::unit_rows, DType::f32, 17), {}};
  InnerProductTopK args{queries, rows, 0, Tensor({2, 1}), Tensor({2, 1}, DType::i64)};
  topk_begin(args);
  args.bytes = make_byte_rows(rows.slice(0, 9));
  EXPECT_THROW(inner_product_topk(args), Error);
}

}  // namespace
}  // namespace earmark::kernels
