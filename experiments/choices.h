// What two choices cost and bring: how precisely fingerprints are stored, and how densely queries are fingerprinted.
// Every combination answers the noise + reverb queries of Table 1.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/rate.h"
#include "search/index_store.h"

namespace earmark::experiments {

/// One combination.
struct Choice {
  std::string precision;
  double query_hop_s = 0;
  std::string method;  ///< "exact", "LSH"
  std::vector<double> lengths_s;
  std::vector<Rate> rates;    ///< Segment level, scored, by length: all queries with noise + reverb.
  double ms_per_query = 0;    ///< Of the full length: fingerprints, search and one ranking, as in SecondsPerQuery.
  double bytes_per_hour = 0;  ///< Stored fingerprints for an hour of music.
};

/// The index itself where it is stored so, else a copy in `folder`, made where it is missing; opened for `device`. The
/// index given is on the CPU. Throws Error where it is stored less precisely than that.
search::IndexStore stored_as(const search::IndexStore& store, search::Precision precision,
                             const std::filesystem::path& folder, Device device = {});

/// Every store with every query hop; empty where there is only one combination, or no query with noise + reverb.
std::vector<Choice> compare_choices(const QuerySet& set, const nn::Fingerprinter& fingerprinter,
                                    const std::vector<const search::IndexStore*>& stores,
                                    const std::vector<double>& query_hops_s, const EvaluationOptions& options);

}  // namespace earmark::experiments
