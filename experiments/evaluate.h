// Runs a query set through the search: every query is fingerprinted once, its beginnings are the shorter queries, and
// each is searched by every method and ranked in every way. What is done is kept, condition by condition.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/query_set.h"
#include "nn/fingerprinter.h"
#include "search/index_store.h"
#include "search/lsh.h"
#include "search/matcher.h"

namespace earmark::experiments {

/// The first of a query's matches, best first; no answer where there are none.
Answer answer_of(const std::vector<search::Match>& matches);

/// All answers of one way of searching. A system from elsewhere has only one list of them.
struct SystemAnswers {
  std::string name;     ///< "exact, scored"
  std::string method;   ///< "exact", "LSH"; empty: a system from elsewhere.
  std::string ranking;  ///< "scored", "vote", "sequence"
  /// [length][query]: for the segment level, and for the audio level where that is another ranking.
  std::vector<std::vector<Answer>> places;
  std::vector<std::vector<Answer>> files = {};  ///< Empty: the same as `places`.
  double seconds = 0;         ///< Per query of the full length, all threads at work on many; 0: unknown.
  double bytes_per_hour = 0;  ///< Of its index, for an hour of music; 0: unknown.
  bool earlier = false;       ///< Read from known answers (known_answers.h), not asked now.
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
  int cells = 0;                           ///< A condition by a method (answer_cells.h).
  int searched = 0;                        ///< Of them; the others were there.
  std::vector<std::string> left_out = {};  ///< Systems whose known answers do not fit the queries, and why.
};

struct EvaluationOptions {
  std::vector<double> lengths_s = {0.96, 2, 3, 5};
  bool lsh = true;         ///< Search by LSH as well.
  bool sequence = false;   ///< Rank what exact search finds by NAFP's sequence search as well: a system more.
  double query_hop_s = 0;  ///< Between query fingerprints; 0: as in the database.
  int neighbours = 5;
  search::LshOptions lsh_options;
  std::filesystem::path cells;  ///< Folder where finished cells are kept and looked for; empty: none.
  int batch = 64;               ///< Queries searched together.
  bool progress = false;
};

/// What an index takes for an hour of its music.
double bytes_per_hour(const search::IndexStore& store);

/// Answers from each of the stores, which hold fingerprints of one model at one hop, for every length that a query has;
/// a query shorter than a length has no answer there. Queries are fingerprinted once for all stores, and only where a
/// cell is missing. Throws Error where a query cannot be read, and where model, hop and index do not fit.
std::vector<Evaluation> evaluate(const QuerySet& set, const nn::Fingerprinter& fingerprinter,
                                 const std::vector<const search::IndexStore*>& stores,
                                 const EvaluationOptions& options);

}  // namespace earmark::experiments
