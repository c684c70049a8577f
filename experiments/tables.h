// Tables 1 and 2: first as the paper prints them, our figures above its own; then in full, with every way of searching
// as a column. A number comes with its 95 % interval (Wilson), a title with the number of queries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/choices.h"
#include "experiments/judge.h"
#include "experiments/protocol.h"
#include "experiments/repeats.h"
#include "experiments/table.h"

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

/// Everything the tables are made of.
struct Results {
  Setting setting;
  QuerySet set;
  Evaluation evaluation;
  Verdicts verdicts;
  std::vector<Choice> choices;  ///< Empty: nothing was compared.
};

/// "81.5" and in small print "75.5–86.3"; a dash where nothing was asked.
Cell rate_cell(const Rate& rate);

/// The system whose figures stand for ours: exact search with the sequence score, which is what `search` does by
/// itself.
std::size_t headline_system(const Evaluation& evaluation);

/// As in the paper: segment level, noise + reverb, a group of rows for each length. Empty where nothing was asked so.
std::vector<Table> table_1(const Results& results);
/// As in the paper: audio level at the longest length; noise and noise + reverb, then reverb alone.
std::vector<Table> table_2(const Results& results);
/// In full: every way of searching as a column, and clean queries too.
Table full_table_1(const Results& results);
Table full_table_2(const Results& results);
/// The share of queries that nobody could decide; the seconds a query takes; what choices cost.
Table repeats_table(const std::vector<RepeatShare>& shares);
Table speed_table(const SecondsPerQuery& seconds, double length_s);
Table choices_table(const std::vector<Choice>& choices);
/// What systems take: time and room. No rows where nothing is known.
Table costs_table(const Results& results);

/// All of them that have something to say, in the order they are shown.
std::vector<Table> all_tables(const Results& results);
/// One sentence or two about what was searched.
std::string setting_text(const Results& results);
/// The tables as Markdown.
std::string report_markdown(const Results& results);
/// All figures: every condition, length and system with hits, count and intervals (results_json.cpp).
std::string results_json(const Results& results);

}  // namespace earmark::experiments
