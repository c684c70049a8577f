// What the tests of searches on a GPU share: rows as an index stores them, and neighbours compared with the CPU's.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/inner_product.h"
#include "tests/op_cases.h"

namespace earmark::testing {

/// Rows narrowed to `dtype`; int8 with one scale for all or one for each.
inline kernels::StoredRows stored_as(const Tensor& rows, DType dtype, bool one_scale) {
  kernels::StoredRows stored{Tensor(rows.shape(), dtype), {}};
  if (dtype == DType::i8) {
    stored.scales = Tensor({one_scale ? 1 : rows.dim(0)});
  }
  kernels::narrow_rows(rows, stored);
  return stored;
}

/// (queries, k) each, on the CPU.
struct Found {
  Tensor scores, indices;
};

/// The same rows of `stored` in the same order, with scores at most `slack` apart; where there are none, both say so.
inline void expect_same(const Found& want, const Found& got, const kernels::StoredRows& stored, float slack) {
  const std::int64_t k = want.indices.dim(1);
  for (std::int64_t i = 0; i < want.indices.numel(); ++i) {
    ASSERT_EQ(got.indices.data<std::int64_t>()[i], want.indices.data<std::int64_t>()[i])
        << stored.rows.shape() << " " << name_of(stored.rows.dtype()) << ", query " << i / k << ", rank " << i % k;
    const float score = want.scores.data<float>()[i];
    EXPECT_TRUE(got.scores.data<float>()[i] == score || std::abs(got.scores.data<float>()[i] - score) <= slack)
        << got.scores.data<float>()[i] << " for " << score << ", query " << i / k << ", rank " << i % k;
  }
}

}  // namespace earmark::testing
