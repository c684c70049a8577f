// Tables 1 and 2: first as the paper prints them, our figures above its own; then in full, with every way of searching
// as a column. A number comes with its 95 % interval (Wilson), a title with the number of queries, and what differs
// from ours by more than chance is marked.
#pragma once

#include <string>
#include <vector>

#include "experiments/repeats.h"
#include "experiments/results.h"
#include "experiments/table.h"

namespace earmark::experiments {

/// As in the paper: segment level, noise + reverb, a group of rows for each length. Empty where nothing was asked so.
std::vector<Table> table_1(const Results& results);
/// As in the paper: audio level at the headline length; noise and noise + reverb, then reverb alone.
std::vector<Table> table_2(const Results& results);
/// Table 1 where 100 and 500 ms off are right too, and Table 2 at the other lengths. Empty where there are none.
std::vector<Table> wider_table_1(const Results& results);
std::vector<Table> other_lengths_table_2(const Results& results);
/// In full (tables_full.cpp): every way of searching as a column, and clean queries too.
Table full_table_1(const Results& results);
Table full_table_2(const Results& results);
/// p-values of every other system against ours in the cells of both tables (tables_mcnemar.cpp).
std::vector<Table> mcnemar_tables(const Results& results);
/// The share of queries that nobody could decide; the seconds a query takes; what choices cost (tables_costs.cpp).
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
