// Places in the database that a query may begin at: proposed by its hits, scored as whole sequences. Starts count fine
// hops (database hops times the query's ratio), from the beginning of the database.
#pragma once

#include <cstdint>
#include <vector>

#include "search/database.h"
#include "search/exact.h"

namespace earmark::search {

struct Candidate {
  std::size_t track = 0;   // position in Database::tracks()
  std::int64_t start = 0;  // fine hops
  int votes = 0;
  float similarity = 0;  // summed over its votes
  float score = 0;       // mean inner product of the sequences; -infinity where they overlap too little
};

/// What the hits propose, each (track, start) once, ascending.
std::vector<Candidate> proposals(const Database& database, const Neighbours& neighbours, int ratio);

/// Adds start - 1 and start + 1 of each, with no votes: hits fall beside the true hop as often as on it.
std::vector<Candidate> with_neighbours(const std::vector<Candidate>& candidates);

/// Fills in `score`. At least min(min_rows, rows of the track, database rows the query spans) must overlap.
void score_candidates(const Database& database, const Tensor& queries, int ratio, std::int64_t min_rows,
                      std::vector<Candidate>& candidates);

}  // namespace earmark::search
