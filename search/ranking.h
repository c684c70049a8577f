// How hits become answers: the places that queries propose, scored, ranked and refined to less than a hop.
#pragma once

#include <span>
#include <vector>

#include "search/candidates.h"
#include "search/matcher.h"

namespace earmark::search {

/// The matches of each query, best first, at most options.top; without the names of tracks and the decision whether
/// they match, which need more than the database. `neighbours` are those of all fingerprints (n, d).
std::vector<std::vector<Match>> rank_queries(const Database& database, const Tensor& fingerprints,
                                             const Neighbours& neighbours, std::span<const QueryRange> queries,
                                             const MatcherOptions& options);

}  // namespace earmark::search
