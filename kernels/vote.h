// Offset vote: hit I of query row i proposes that the query starts at I - i. Proposals are counted per (track, start);
// a sequence never straddles two tracks, because a hit only votes within the track that it lies in.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// With a query hop `ratio` times finer than the database's, start = I * ratio - i, in fine hops.
struct OffsetVote {
  Tensor hits;          // (m, k) i64; -1 = none
  Tensor similarities;  // (m, k) f32
  Tensor track_rows;    // (t + 1) i64, ascending: track j has rows [j, j + 1)
  int ratio = 1;
  Tensor tracks;  // (m * k) i64: the proposals, ascending by (track, start)
  Tensor starts;  // (m * k) i64
  Tensor votes;   // (m * k) i32
  Tensor sums;    // (m * k) f32: summed similarities
};
/// Returns how many proposals were written.
std::int64_t offset_vote(const OffsetVote& args);

namespace cpu {
std::int64_t offset_vote(const OffsetVote& args);
}
namespace cuda {
std::int64_t offset_vote(const OffsetVote& args);
}
}  // namespace earmark::kernels
