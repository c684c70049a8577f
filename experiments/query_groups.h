// The queries of one condition: what a cell answers (answer_cells.h), and what its answers depend on, as text.
#pragma once

#include <string>
#include <vector>

#include "experiments/query_set.h"
#include "search/index_store.h"

namespace earmark::experiments {

struct QueryGroup {
  std::string label;                 ///< "noise+reverb-snr10-rt0.5"
  std::vector<std::size_t> queries;  ///< Positions in the set.
};

/// In the order of their first queries.
std::vector<QueryGroup> groups_of(const QuerySet& set);

/// Of a group's sound files: what they are called and whether they have changed.
std::string queries_key(const QuerySet& set, const QueryGroup& group);
/// What an index holds, and where in it.
std::string contents_key(const search::IndexStore& store);

}  // namespace earmark::experiments
