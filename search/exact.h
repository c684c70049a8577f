// Exact inner-product search over a whole database: the reference that LSH recall is measured against.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"
#include "search/database.h"

namespace earmark::search {

/// The k nearest stored rows of every query row, best first; ties go to the lower row. In the host's memory.
struct Neighbours {
  Tensor indices;  // (m, k) i64; -1 where the database has fewer rows
  Tensor scores;   // (m, k) f32; -infinity there
};

/// Queries (m, d) f32, anywhere; searched on the database's device. Throws Error on another dimension than the
/// database's, and where the device's memory does not suffice.
Neighbours exact_search(const Database& database, const Tensor& queries, int k);

/// The same without rows [begin, end): as if they were not in the database.
Neighbours exact_search_without(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                                std::int64_t end);

/// The same among rows [begin, end) alone; their numbers are those of the whole database.
Neighbours exact_search_within(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                               std::int64_t end);

/// The k best of lists (m, k) that were found in different rows: those that one search of all rows gives.
Neighbours best_neighbours(const std::vector<Neighbours>& lists);

}  // namespace earmark::search
