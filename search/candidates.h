// Places in the database that queries may begin at: proposed by their hits, scored as whole sequences. All queries of a
// batch go together, so that the device is asked once. Starts count fine hops (database hops times the query's ratio),
// from the beginning of the database.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "search/database.h"
#include "search/exact.h"

namespace earmark::search {

/// Of a batch's fingerprints, rows [begin, end) are one query. Queries may share rows.
struct QueryRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t rows() const { return end - begin; }
};

/// Score of a candidate that has none, or that overlaps the query too little.
inline constexpr float kUnscored = -std::numeric_limits<float>::infinity();

struct Candidate {
  std::size_t track = 0;   // position in Database::tracks()
  std::int64_t start = 0;  // fine hops
  int votes = 0;
  float similarity = 0;  // summed over its votes
  float score = 0;       // mean inner product of the sequences; kUnscored where they overlap too little
};

/// What the hits of each query propose, each (track, start) once, ascending.
std::vector<std::vector<Candidate>> proposals(const Database& database, const Neighbours& neighbours,
                                              std::span<const QueryRange> queries, int ratio);

/// Adds start - stride and start + stride of each, with no votes: hits fall beside the true hop as often as on it.
std::vector<Candidate> with_neighbours(const std::vector<Candidate>& candidates, std::int64_t stride);

/// Fills in `score`. Rows of the track that overlap the query: at least the share `min_overlap` of those that the query
/// spans, or all of the track.
void score_candidates(const Database& database, const Tensor& fingerprints, std::span<const QueryRange> queries,
                      int ratio, double min_overlap, std::span<std::vector<Candidate>> candidates);

}  // namespace earmark::search
