// Tables 1 and 2 in the paper's layout: ours beside the paper's figures, with the number of queries and 95 % intervals.
// A table is text in cells; Markdown (padded, so that it reads well on a terminal) and HTML are made from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/judge.h"
#include "experiments/protocol.h"
#include "experiments/query_maker.h"

namespace earmark::experiments {

struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notes;
};

std::string to_markdown(const Table& table);
std::string to_html(const Table& table);

/// What was searched, and with what.
struct Setting {
  std::int64_t tracks = 0;
  double hours = 0;
  std::int64_t fingerprints = 0;
  std::string database;  ///< Name of the folder.
  std::string model;     ///< Hash.
  std::string queries;   ///< "seed 2022", or where they came from.
};

/// Everything the tables are made of.
struct Results {
  Setting setting;
  QuerySet set;
  Evaluation evaluation;
  Verdicts verdicts;
  std::vector<RepeatShare> repeats;  ///< Empty where unknown.
};

/// "81.5 [75.5, 86.3]"; "-" where nothing was asked.
std::string cell_text(const Rate& rate);

/// Segment level, noise + reverb by length; and clean, where the set has it.
Table table_1(const Results& results);
/// Audio level at the longest length: clean, noise, noise + reverb, reverb.
std::vector<Table> table_2(const Results& results);
/// How often the music repeats itself, and the seconds a query takes.
Table repeats_table(const Results& results);
Table speed_table(const Results& results);

/// The tables of a set as Markdown, with what was searched above them.
std::string report_markdown(const Results& results);
/// All figures: every condition, length and system with hits, count and intervals.
std::string results_json(const Results& results);

}  // namespace earmark::experiments
