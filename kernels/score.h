// Sequence score: the mean inner product of a query's whole sequence of fingerprints with a stored sequence, for
// candidates of many queries at once. A query may have a finer hop than the database: with `ratio` r, query row i
// belongs to database row (start + i) / r where that is whole, and start counts fine hops.
#pragma once

#include <cstdint>

#include "kernels/inner_product.h"
#include "kernels/tensor.h"

namespace earmark::kernels {

/// scores[c] = mean over i with (starts[c] + i) % ratio == 0 of <query row i, row[(starts[c] + i) / ratio]>, where
/// query row i is queries[query_begins[c] + i], over the rows that lie within the candidate's track [begins[c],
/// ends[c]); -infinity where fewer than `min_overlap` do.
struct SequenceScore {
  Tensor queries;  // (m, d) f32: the rows of all queries
  StoredRows stored;
  Tensor query_begins;  // (c) i64: first row of the candidate's query
  Tensor query_ends;    // (c) i64: one past its last row
  Tensor starts;        // (c) i64, in fine hops; may stick out of the track on either side
  Tensor begins;        // (c) i64: first row of the track
  Tensor ends;          // (c) i64: one past its last row
  int ratio = 1;
  int min_overlap = 1;
  Tensor scores;  // (c) f32
};
void sequence_score(const SequenceScore& args);

namespace cpu {
void sequence_score(const SequenceScore& args);
}
namespace cuda {
void sequence_score(const SequenceScore& args);
}
}  // namespace earmark::kernels
