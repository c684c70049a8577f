// Many queries at once: a CSV with at least query_id,path in, a TSV with one row per query out.
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "search/query.h"
#include "search/shared_search.h"

namespace earmark::search {

struct ListedQuery {
  std::string id;
  std::filesystem::path file;  // relative paths begin at the folder of the list
};

/// Throws Error naming the line where a row has too few fields, and where a column is missing.
std::vector<ListedQuery> read_query_list(const std::filesystem::path& list);

/// Answers all queries in parallel and writes query_id, track, start_s, score, matched in the order of the list. A
/// query without an answer has an empty track; `complain` hears why. Returns how many could not be answered.
int answer_query_list(const Searcher& searcher, const std::vector<ListedQuery>& queries, std::ostream& out,
                      bool progress, const std::function<void(const std::string&)>& complain);

/// The same by several ranks, which all call it with the same queries: each answers those of every `size`-th place,
/// decodes them and ranks what was found. Rank 0 alone writes and complains; all return the same. Where the searcher
/// asks `shared`, which has started, the index is divided as well; else each rank has all of it. Throws Error where
/// another rank has failed.
int answer_query_list(const Searcher& searcher, const std::vector<ListedQuery>& queries, std::ostream& out,
                      bool progress, const std::function<void(const std::string&)>& complain, Communicator& ranks,
                      SharedSearch* shared);

}  // namespace earmark::search
