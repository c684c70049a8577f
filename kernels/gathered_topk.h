// The k best of each query's own candidates: what gathered_inner_product (kernels/inner_product.h) and a list of the
// best make in two steps, in one.
#pragma once

#include "kernels/inner_product.h"

namespace earmark::kernels {

/// Continues the running k best of each query with those of its candidates that lie in one block of rows: start from
/// topk_begin, call once per block with `first_row` growing. Order: higher score, then lower row; a score that is not a
/// number is never among them.
struct GatheredTopK {
  Tensor queries;  // (m, d) f32
  StoredRows stored;
  std::int64_t first_row = 0;  // index of the block's row 0
  Tensor candidates;           // any shape, i64; each of a query's is greater than the one before
  Tensor ranges;               // (m, 2) i64: query q has candidates [ranges[q][0], ranges[q][1]) of the flat list
  Tensor scores;               // (m, k) f32, in and out, descending; -infinity where nothing was found yet
  Tensor indices;              // (m, k) i64, in and out; -1 where nothing was found yet
  ByteRows bytes = {};         // of `stored`, on the CPU, or none: the result is the same
};
/// Everything is on the queries' device. Throws Error where a shape or type does not fit.
void gathered_topk(const GatheredTopK& args);

namespace cpu {
void gathered_topk(const GatheredTopK& args);
}
namespace cuda {
void gathered_topk(const GatheredTopK& args);
}
}  // namespace earmark::kernels
