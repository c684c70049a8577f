// Everything the tables and the report are made of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "experiments/asked.h"
#include "experiments/choices.h"
#include "experiments/judge.h"
#include "experiments/mcnemar.h"

namespace earmark::experiments {

/// What was searched, and with what.
struct Setting {
  std::int64_t tracks = 0;
  double hours = 0;
  std::int64_t fingerprints = 0;
  std::string precision;   ///< How they are stored: "fp32".
  double query_hop_s = 0;  ///< Between a query's.
  std::string database;    ///< Name of the folder.
  std::string model;       ///< Hash.
  std::string queries;     ///< "seed 2022", or where they came from.
};

struct Results {
  Setting setting;
  QuerySet set;
  Evaluation evaluation;
  Verdicts verdicts;
  std::vector<Choice> choices = {};          ///< Empty: nothing was compared.
  std::vector<double> place_lengths_s = {};  ///< Of Table 1, among the evaluation's; empty: all of them.
  std::vector<double> track_lengths_s = {};  ///< Of Table 2; empty: the headline length alone.
};

/// The system whose figures stand for ours: exact search with the sequence score, which is what `search` does by
/// itself.
std::size_t headline_system(const Evaluation& evaluation);
/// The length that Table 2 is about: that of the paper, 5 s, where it was asked, else the longest.
std::size_t headline_length(const Results& results);
/// Positions among the evaluation's lengths, ascending: of Table 1, and of Table 2.
std::vector<std::size_t> place_lengths(const Results& results);
std::vector<std::size_t> track_lengths(const Results& results);

/// Whether a system has an answer of this length to anything.
bool answered(const Results& results, std::size_t system, std::size_t length);
/// A system's hits in one cell.
Rate rate_of(const Results& results, std::size_t system, std::size_t length, Level level, const Asked& asked);
/// Queries of one cell that only the headline system answers right (first), and only `system` does.
Discordant against_ours(const Results& results, std::size_t system, std::size_t length, Level level,
                        const std::function<bool(const Query&)>& wanted);

}  // namespace earmark::experiments
