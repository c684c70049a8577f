// Many queries at once: a CSV with at least query_id,path in, a TSV with one row per query out.
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "search/query.h"

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

}  // namespace earmark::search
