// Runs a query set through the search: every query is fingerprinted once, its beginnings are the shorter queries, and
// each is searched by every method and ranked in every way.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "experiments/query_set.h"
#include "nn/fingerprinter.h"
#include "search/index_store.h"
#include "search/lsh.h"

namespace earmark::experiments {

/// All answers of one way of searching. A system from elsewhere has only one list of them.
struct SystemAnswers {
  std::string name;  ///< "exact, scored"
  /// [length][query]: for the segment level, and for the audio level where that is another ranking.
  std::vector<std::vector<Answer>> places;
  std::vector<std::vector<Answer>> files;  ///< Empty: the same as `places`.
};

/// Seconds per query of the set's full length, all threads at work on many queries at once.
struct SecondsPerQuery {
  double fingerprint = 0;  ///< Decoding and embedding.
  double exact = 0;        ///< Search alone.
  double lsh = 0;
  double rank = 0;  ///< One ranking.
};

struct Evaluation {
  std::vector<double> lengths_s;  ///< Ascending.
  std::vector<SystemAnswers> systems;
  SecondsPerQuery seconds;
};

struct EvaluationOptions {
  std::vector<double> lengths_s = {0.96, 2, 3, 5};
  bool lsh = true;      ///< Search by LSH as well.
  int query_ratio = 1;  ///< Query rows for each database hop.
  int neighbours = 5;
  search::LshOptions lsh_options;
  int batch = 64;  ///< Queries searched together.
  bool progress = false;
};

/// Answers for every length that a query has; a query shorter than a length has no answer there. Throws Error where a
/// query cannot be read, and where model and index do not fit.
Evaluation evaluate(const QuerySet& set, const nn::Fingerprinter& fingerprinter, const search::IndexStore& store,
                    const EvaluationOptions& options);

/// Whether a query is long enough to be asked as one of `length_s` (an unknown length is).
bool has_length(const Query& query, double length_s);

}  // namespace earmark::experiments
