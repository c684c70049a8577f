// The best of each query's candidates: rows are the CPU's index by index, and scores the bits of the gathered products.
#include "kernels/gathered_topk.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/cuda/gpu.h"
#include "tests/cuda/neighbours.h"
#include "tests/op_cases.h"
#include "tests/random_candidates.h"

namespace earmark::testing {
namespace {

using kernels::StoredRows;

class GpuGatheredTopK : public GpuTest {};

/// Among rows that are given in two blocks that meet at `split`, the first of which begins at row 100.
Found best_of(const Tensor& queries, const StoredRows& stored, const RandomCandidates& candidates, std::int64_t k,
              std::int64_t split) {
  const Device device = queries.device();
  const Shape shape{queries.dim(0), k};
  kernels::GatheredTopK args{queries,
                             {},
                             100,
                             candidates.rows.to(device),
                             candidates.ranges.to(device),
                             Tensor(shape, DType::f32, device),
                             Tensor(shape, DType::i64, device)};
  kernels::topk_begin({queries, {}, 0, args.scores, args.indices});
  const auto block = [&](std::int64_t begin, std::int64_t end) {
    args.stored = stored.slice(begin, end).to(device);
    kernels::gathered_topk(args);
    args.first_row += end - begin;
  };
  block(0, split);
  block(split, stored.rows.dim(0));
  return {args.scores.to(Device{}), args.indices.to(Device{})};
}

void expect_same(const Tensor& queries, const StoredRows& stored, const RandomCandidates& candidates, std::int64_t k,
                 std::int64_t split, float slack) {
  const Found want = best_of(queries, stored, candidates, k, split);
  const Found got = best_of(queries.to(kGpu), stored.to(kGpu), candidates, k, split);
  expect_same(want, got, stored, slack);
}

struct GatheredCase {
  std::int64_t queries, rows, dimension, k, split;
};

TEST_F(GpuGatheredTopK, RowsAreTheCpus) {
  for (const GatheredCase& c :
       {GatheredCase{2, 1, 1, 1, 0}, GatheredCase{2, 1, 128, 3, 1}, GatheredCase{3, 127, 33, 5, 1},
        GatheredCase{5, 90, 31, 1, 64}, GatheredCase{4, 150, 64, 40, 70}, GatheredCase{9, 33, 128, 20, 0}}) {
    for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
      const Tensor rows = draw({c.rows, c.dimension}, Domain::unit_rows, DType::f32, 1);
      const Tensor queries = draw({c.queries, c.dimension}, Domain::unit_rows, DType::f32, 2);
      expect_same(queries, stored_as(rows, dtype, c.rows % 2 == 0),
                  RandomCandidates(c.queries, 100, c.rows, c.k == 5, 3), c.k, c.split, 2e-6F);
    }
  }
}

TEST_F(GpuGatheredTopK, OfEqualScoresTheLowerRowIsFirst) {
  const Tensor rows = draw({200, 3}, Domain::ties, DType::f32, 3);
  const Tensor queries = draw({4, 3}, Domain::ties, DType::f32, 4);
  const RandomCandidates candidates(4, 100, 200, true, 5);
  for (const std::int64_t k : {1, 7, 33, 100}) {
    for (const std::int64_t split : {0, 130, 200}) {
      expect_same(queries, stored_as(rows, DType::f32, false), candidates, k, split, 0);
    }
  }
  expect_same(queries, stored_as(Tensor::full({200, 3}, 0), DType::f32, false), candidates, 9, 7, 0);
}

TEST_F(GpuGatheredTopK, WhatIsNoNumberIsNotFound) {
  const Tensor rows = draw({40, 3}, Domain::unit_rows, DType::f32, 3);
  rows.slice(7, 21).fill(std::numeric_limits<double>::quiet_NaN());
  rows.slice(30, 31).fill(-std::numeric_limits<double>::infinity());
  expect_same(draw({3, 3}, Domain::unit_rows, DType::f32, 4), stored_as(rows, DType::f32, false),
              RandomCandidates(3, 100, 40, false, 5), 40, 11, 2e-6F);
}

TEST_F(GpuGatheredTopK, NoQueriesAndTooManyNeighbours) {
  const StoredRows stored = stored_as(Tensor::full({5, 4}, 1), DType::f32, false);
  EXPECT_EQ(
      best_of(Tensor({0, 4}, DType::f32, kGpu), stored, RandomCandidates(0, 0, 5, false, 1), 3, 2).indices.numel(), 0);
  EXPECT_THROW(best_of(Tensor::zeros({1, 4}, DType::f32, kGpu), stored, RandomCandidates(1, 100, 5, false, 1), 513, 2),
               Error);
}

}  // namespace
}  // namespace earmark::testing
