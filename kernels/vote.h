// Offset vote: hit I of query row i proposes that the query starts at I - i. Proposals are counted per (track, start);
// a sequence never straddles two tracks, because a hit only votes within the track that it lies in. Many queries vote
// at once, each for itself.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// With a query hop `ratio` times finer than the database's, start = I * ratio - i, in fine hops. Query j has n_j
/// proposals at most, k for each of its rows, and theirs begin in the results at n_0 + ... + n_(j-1).
struct OffsetVote {
  Tensor hits;          // (m, k) i64; -1 = none
  Tensor similarities;  // (m, k) f32
  Tensor queries;       // (q, 2) i64: the rows [begin, end) of each query; queries may share rows
  Tensor track_rows;    // (t + 1) i64, ascending: track j has rows [j, j + 1)
  int ratio = 1;
  Tensor counts;  // (q) i64: proposals of each query
  Tensor tracks;  // (n) i64: the proposals, ascending by (track, start)
  Tensor starts;  // (n) i64
  Tensor votes;   // (n) i32
  Tensor sums;    // (n) f32: summed similarities
};
/// Throws Error on a hit that is no row of the database.
void offset_vote(const OffsetVote& args);

/// How many proposals `queries` (q, 2) can have with k hits for each row.
std::int64_t most_proposals(const Tensor& queries, std::int64_t k);

namespace cpu {
void offset_vote(const OffsetVote& args);
}
namespace cuda {
void offset_vote(const OffsetVote& args);
}
}  // namespace earmark::kernels
