#include "kernels/inner_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::kernels {
namespace {

Tensor random_unit_rows(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  Tensor rows({n, d});
  RandomStream random(seed);
  for (std::int64_t i = 0; i < n; ++i) {
    double square = 0;
    float* row = rows.mutable_data<float>() + i * d;
    for (std::int64_t j = 0; j < d; ++j) {
      row[j] = static_cast<float>(random.normal());
      square += static_cast<double>(row[j]) * static_cast<double>(row[j]);
    }
    for (std::int64_t j = 0; j < d; ++j) {
      row[j] = static_cast<float>(row[j] / std::sqrt(square));
    }
  }
  return rows;
}

StoredRows stored_as(const Tensor& rows, DType dtype, bool global_scale = false) {
  StoredRows stored{Tensor(rows.shape(), dtype), {}};
  if (dtype == DType::i8) {
    stored.scales = Tensor({global_scale ? 1 : rows.dim(0)});
  }
  narrow_rows(rows, stored);
  return stored;
}

struct Nearest {
  std::vector<std::int64_t> indices;
  std::vector<float> scores;
};

Nearest search(const Tensor& queries, const std::vector<StoredRows>& blocks, std::int64_t k) {
  InnerProductTopK args{queries, {}, 0, Tensor({queries.dim(0), k}), Tensor({queries.dim(0), k}, DType::i64)};
  topk_begin(args);
  for (const StoredRows& block : blocks) {
    args.stored = block;
    inner_product_topk(args);
    args.first_row += block.rows.dim(0);
  }
  const auto indices = args.indices.values<std::int64_t>();
  const auto scores = args.scores.values<float>();
  return {{indices.begin(), indices.end()}, {scores.begin(), scores.end()}};
}

/// All products in double, sorted by (score, index).
std::vector<std::pair<double, std::int64_t>> reference_products(const Tensor& queries, std::int64_t query,
                                                                const Tensor& rows) {
  const std::int64_t d = rows.dim(1);
  std::vector<std::pair<double, std::int64_t>> all;
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      sum += static_cast<double>(queries.data<float>()[query * d + j]) *
             static_cast<double>(rows.data<float>()[i * d + j]);
    }
    all.emplace_back(-sum, i);
  }
  std::sort(all.begin(), all.end());
  for (auto& [score, index] : all) {
    score = -score;
  }
  return all;
}

Tensor widened(const StoredRows& stored) {
  Tensor out(stored.rows.shape());
  widen_rows(stored, 0, stored.rows.dim(0), out);
  return out;
}

struct TopKCase {
  std::int64_t queries, rows, dimension, k;
};

class TopK : public ::testing::TestWithParam<std::tuple<TopKCase, DType>> {};

TEST_P(TopK, AgreesWithDoubleReference) {
  const auto [c, dtype] = GetParam();
  const Tensor queries = random_unit_rows(c.queries, c.dimension, 1);
  const StoredRows stored = stored_as(random_unit_rows(c.rows, c.dimension, 2), dtype);
  const Tensor wide = widened(stored);
  const Nearest found = search(queries, {stored}, c.k);
  for (std::int64_t q = 0; q < c.queries; ++q) {
    const auto expected = reference_products(queries, q, wide);
    for (std::int64_t rank = 0; rank < c.k; ++rank) {
      const auto at = static_cast<std::size_t>(q * c.k + rank);
      if (rank >= c.rows) {
        EXPECT_EQ(found.indices[at], -1);
        EXPECT_EQ(found.scores[at], -std::numeric_limits<float>::infinity());
        continue;
      }
      EXPECT_NEAR(found.scores[at], expected[static_cast<std::size_t>(rank)].first, 2e-6);
      EXPECT_EQ(found.indices[at], expected[static_cast<std::size_t>(rank)].second)
          << "query " << q << " rank " << rank;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TopK,
                         ::testing::Combine(::testing::Values(TopKCase{1, 1, 1, 1}, TopKCase{1, 3, 5, 5},
                                                              TopKCase{16, 100, 128, 5}, TopKCase{17, 9, 7, 4},
                                                              TopKCase{41, 517, 128, 5}, TopKCase{49, 64, 33, 20},
                                                              TopKCase{100, 8, 128, 3}),
                                            ::testing::Values(DType::f32, DType::f16, DType::i8)));

TEST(InnerProductTopKTest, EqualScoresGoToTheLowerIndex) {
  const Tensor queries = random_unit_rows(3, 16, 3);
  Tensor rows({20000, 16});  // several tasks, all rows the same
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    rows.slice(i, i + 1).copy_from(queries.slice(0, 1));
  }
  const Nearest found = search(queries, {stored_as(rows, DType::f32)}, 4);
  EXPECT_EQ(found.indices, (std::vector<std::int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}));
}

TEST(InnerProductTopKTest, BlocksAreTheSameAsOneDatabase) {
  const Tensor queries = random_unit_rows(5, 24, 4);
  const Tensor rows = random_unit_rows(300, 24, 5);
  const StoredRows whole = stored_as(rows, DType::f32);
  const Nearest one = search(queries, {whole}, 7);
  const Nearest parts = search(
      queries, {{whole.rows.slice(0, 1), {}}, {whole.rows.slice(1, 130), {}}, {whole.rows.slice(130, 300), {}}}, 7);
  EXPECT_EQ(one.indices, parts.indices);
  EXPECT_EQ(one.scores, parts.scores);
}

TEST(InnerProductTopKTest, ThreadsDoNotChangeTheResult) {
  const Tensor queries = random_unit_rows(50, 32, 6);
  const StoredRows stored = stored_as(random_unit_rows(30000, 32, 7), DType::f16);
  const int before = num_threads();
  set_num_threads(1);
  const Nearest one = search(queries, {stored}, 5);
  set_num_threads(3);
  const Nearest three = search(queries, {stored}, 5);
  set_num_threads(before);
  EXPECT_EQ(one.indices, three.indices);
  EXPECT_EQ(one.scores, three.scores);
}

TEST(InnerProductTopKTest, NaNNeverWins) {
  const Tensor queries = random_unit_rows(1, 8, 8);
  Tensor rows = random_unit_rows(10, 8, 9);
  rows.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  const Nearest found = search(queries, {stored_as(rows, DType::f32)}, 10);
  EXPECT_EQ(std::count(found.indices.begin(), found.indices.end(), 0), 0);
  EXPECT_EQ(found.indices.back(), -1);
}

TEST(InnerProductTopKTest, RefusesAnotherDimension) {
  EXPECT_THROW(search(random_unit_rows(1, 8, 1), {stored_as(random_unit_rows(3, 9, 2), DType::f32)}, 1), Error);
}

TEST(GatheredInnerProductTest, AgreesWithReference) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    const Tensor queries = random_unit_rows(3, 70, 1);
    const StoredRows stored = stored_as(random_unit_rows(50, 70, 2), dtype);
    const std::vector<std::int64_t> indices = {49, 0, 7, 7, 30, 1, 2, 3, 4, 5, 6};
    const std::vector<std::int64_t> owners = {0, 0, 0, 1, 2, 2, 2, 1, 0, 1, 2};
    const Tensor out({11});
    gathered_inner_product(
        {queries, stored, Tensor::from<std::int64_t>({11}, owners), Tensor::from<std::int64_t>({11}, indices), out});
    for (std::size_t i = 0; i < indices.size(); ++i) {
      auto expected = reference_products(queries, owners[i], widened(stored));
      std::sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      EXPECT_NEAR(out.values<float>()[i], expected[static_cast<std::size_t>(indices[i])].first, 2e-6);
    }
  }
}

TEST(GatheredInnerProductTest, RefusesRowsAndQueriesOutside) {
  const StoredRows stored = stored_as(random_unit_rows(5, 8, 2), DType::f32);
  const auto product = [&](std::int64_t owner, std::int64_t index) {
    gathered_inner_product({random_unit_rows(1, 8, 1), stored,
                            Tensor::full({1}, static_cast<double>(owner), DType::i64),
                            Tensor::full({1}, static_cast<double>(index), DType::i64), Tensor(Shape{1})});
  };
  product(0, 4);
  EXPECT_THROW(product(0, 5), Error);
  EXPECT_THROW(product(1, 4), Error);
}

TEST(StoredRowsTest, SlicesAreRowsWithTheirScales) {
  for (const bool one_scale : {false, true}) {
    const StoredRows stored = stored_as(random_unit_rows(20, 9, 2), DType::i8, one_scale);
    const Tensor part({5, 9});
    widen_rows(stored.slice(7, 12), 0, 5, part);
    EXPECT_TRUE(std::ranges::equal(part.values<float>(), widened(stored).slice(7, 12).values<float>()));
    EXPECT_EQ(stored.bytes_per_row(), one_scale ? 9U : 13U);
  }
}

TEST(NarrowRowsTest, KeepsRowsClose) {
  const Tensor rows = random_unit_rows(40, 128, 3);
  const auto largest_error = [&](const StoredRows& stored) {
    double largest = 0;
    const Tensor wide = widened(stored);
    for (std::int64_t i = 0; i < rows.numel(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(wide.data<float>()[i] - rows.data<float>()[i])));
    }
    return largest;
  };
  EXPECT_EQ(largest_error(stored_as(rows, DType::f32)), 0);
  EXPECT_LT(largest_error(stored_as(rows, DType::f16)), 3e-4);
  const double by_row = largest_error(stored_as(rows, DType::i8));
  const double global = largest_error(stored_as(rows, DType::i8, true));
  EXPECT_LT(by_row, 0.5 * 0.5 / 127 + 1e-6);
  EXPECT_LE(by_row, global + 1e-7);
}

TEST(NarrowRowsTest, NarrowingTwiceChangesNothing) {
  const StoredRows once = stored_as(random_unit_rows(30, 128, 4), DType::i8);
  const StoredRows twice = stored_as(widened(once), DType::i8);
  EXPECT_TRUE(std::ranges::equal(once.rows.values<std::int8_t>(), twice.rows.values<std::int8_t>()));
}

TEST(NarrowRowsTest, ZeroRowStaysZero) {
  const StoredRows stored = stored_as(Tensor::zeros({2, 16}), DType::i8);
  const Tensor wide = widened(stored);
  EXPECT_TRUE(std::ranges::all_of(wide.values<float>(), [](float x) { return x == 0; }));
}

}  // namespace
}  // namespace earmark::kernels
