// The scan: neighbours are the CPU's index by index, for every type of row, around the borders of tiles and chunks.
#include "kernels/inner_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/cuda/gpu.h"
#include "tests/cuda/neighbours.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::InnerProductTopK;
using kernels::StoredRows;

class GpuInnerProduct : public GpuTest {};

/// The k best among `stored`, given in two blocks that meet at `split`.
Found search(const Tensor& queries, const StoredRows& stored, std::int64_t k, std::int64_t split) {
  const Shape shape{queries.dim(0), k};
  InnerProductTopK args{
      queries, {}, 100, Tensor(shape, DType::f32, queries.device()), Tensor(shape, DType::i64, queries.device())};
  kernels::topk_begin(args);
  const std::int64_t n = stored.rows.dim(0);
  const auto block = [&](std::int64_t begin, std::int64_t end) {
    args.stored = stored.slice(begin, end);
    kernels::inner_product_topk(args);
    args.first_row += end - begin;
  };
  block(0, split);
  block(split, n);
  return {args.scores.to(Device{}), args.indices.to(Device{})};
}

void expect_same(const Tensor& queries, const StoredRows& stored, std::int64_t k, std::int64_t split, float slack) {
  const Found want = search(queries, stored, k, split);
  const Found got = search(queries.to(kGpu), stored.to(kGpu), k, split);
  expect_same(want, got, stored, slack);
}

struct ScanCase {
  std::int64_t queries, rows, dimension, k, split;
};

TEST_F(GpuInnerProduct, NeighboursAreTheCpus) {
  for (const ScanCase& c :
       {ScanCase{1, 1, 1, 1, 0}, ScanCase{1, 1, 128, 3, 0}, ScanCase{3, 127, 33, 5, 1}, ScanCase{5, 129, 31, 1, 128},
        ScanCase{33, 300, 64, 10, 150}, ScanCase{2, 700, 7, 40, 699}, ScanCase{70, 50, 128, 20, 0}}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
      const Tensor rows = draw({c.rows, c.dimension}, Domain::unit_rows, DType::f32, 1);
      const Tensor queries = draw({c.queries, c.dimension}, Domain::unit_rows, DType::f32, 2);
      expect_same(queries, stored_as(rows, dtype, c.rows % 2 == 0), c.k, c.split, 2e-6F);
    }
  }
}

/// Small multiples of one half have exact products, so that equal scores abound.
TEST_F(GpuInnerProduct, OfEqualScoresTheLowerRowIsFirst) {
  const Tensor rows = draw({400, 3}, Domain::ties, DType::f32, 3);
  const Tensor queries = draw({6, 3}, Domain::ties, DType::f32, 4);
  for (const std::int64_t k : {1, 7, 33, 100, 401}) {
    for (const std::int64_t split : {0, 130, 400}) {
      expect_same(queries, stored_as(rows, DType::f32, false), k, split, 0);
    }
  }
  expect_same(queries, stored_as(Tensor::full({300, 3}, 0), DType::f32, false), 9, 7, 0);
}

TEST_F(GpuInnerProduct, NoQueriesAndTooManyNeighbours) {
  const StoredRows stored = stored_as(Tensor::full({5, 4}, 1), DType::f32, false).to(kGpu);
  EXPECT_EQ(search(Tensor({0, 4}, DType::f32, kGpu), stored, 3, 2).indices.numel(), 0);
  EXPECT_THROW(search(Tensor::zeros({1, 4}, DType::f32, kGpu), stored, 513, 2), Error);
}

TEST_F(GpuInnerProduct, RowsMayLieInTheHostsMemory) {
  const Tensor queries = draw({2, 16}, Domain::unit_rows, DType::f32, 2);
  const StoredRows stored = stored_as(draw({40, 16}, Domain::unit_rows, DType::f32, 1), DType::i8, false);
  const Found want = search(queries, stored, 4, 9);
  const Found got = search(queries.to(kGpu), stored, 4, 9);
  for (std::int64_t i = 0; i < want.indices.numel(); ++i) {
    EXPECT_EQ(got.indices.data<std::int64_t>()[i], want.indices.data<std::int64_t>()[i]);
  }
}

TEST_F(GpuInnerProduct, GatheredProductsAreTheCpus) {
  const std::vector<std::int64_t> indices{36, 0, 5, 5, 17, 2, 35, 1, 9};
  const std::vector<std::int64_t> owners{0, 1, 2, 2, 1, 0, 0, 1, 2};
  for (const std::int64_t d : {1, 31, 128, 200}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
      const Tensor queries = draw({3, d}, Domain::normal, DType::f32, 2);
      const StoredRows stored = stored_as(draw({37, d}, Domain::unit_rows, DType::f32, 1), dtype, d == 31);
      const Tensor want({9});
      const Tensor got({9}, DType::f32, kGpu);
      kernels::gathered_inner_product(
          {queries, stored, Tensor::from<std::int64_t>({9}, owners), Tensor::from<std::int64_t>({9}, indices), want});
      kernels::gathered_inner_product({queries.to(kGpu), stored.to(kGpu), Tensor::from<std::int64_t>({9}, owners),
                                       Tensor::from<std::int64_t>({9}, indices, kGpu), got});
      const Tensor back = got.to(Device{});
      for (int i = 0; i < 9; ++i) {
        EXPECT_NEAR(back.data<float>()[i], want.data<float>()[i], 5e-6F) << "dimension " << d << ", result " << i;
      }
    }
  }
}

TEST_F(GpuInnerProduct, RowsThatAreNotThereGiveNaN) {
  const std::vector<std::int64_t> indices{-1, 0, 2, 1};
  const std::vector<std::int64_t> owners{0, 0, 0, 1};
  const Tensor out({4}, DType::f32, kGpu);
  kernels::gathered_inner_product({Tensor::full({1, 4}, 1, DType::f32, kGpu),
                                   {Tensor::full({2, 4}, 1, DType::f32, kGpu), {}},
                                   Tensor::from<std::int64_t>({4}, owners, kGpu),
                                   Tensor::from<std::int64_t>({4}, indices, kGpu),
                                   out});
  const Tensor back = out.to(Device{});
  EXPECT_TRUE(std::isnan(back.data<float>()[0]));
  EXPECT_EQ(back.data<float>()[1], 4);
  EXPECT_TRUE(std::isnan(back.data<float>()[2]));
  EXPECT_TRUE(std::isnan(back.data<float>()[3]));
}

TEST_F(GpuInnerProduct, WidenedRowsAreTheCpus) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    for (const bool one_scale : {false, true}) {
      const StoredRows stored = stored_as(draw({37, 31}, Domain::unit_rows, DType::f32, 1), dtype, one_scale);
      const Tensor want({30, 31});
      const Tensor got({30, 31}, DType::f32, kGpu);
      kernels::widen_rows(stored, 5, 35, want);
      kernels::widen_rows(stored.to(kGpu), 5, 35, got);
      EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0) << name_of(dtype);
      EXPECT_THROW(kernels::widen_rows(stored, 5, 35, got), Error);
    }
  }
}

}  // namespace
}  // namespace earmark::testing
