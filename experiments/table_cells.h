// What rows of the tables are put together from: rates with their intervals, compared with ours.
#pragma once

#include <string>
#include <vector>

#include "experiments/results.h"
#include "experiments/table.h"

namespace earmark::experiments {

/// "81.5" and in small print "75.5–86.3"; a dash where nothing was asked.
Cell rate_cell(const Rate& rate);
/// The same of one system in one cell of a table, and whether the difference from ours is real.
Cell compared_cell(const Results& results, std::size_t system, std::size_t length, Level level, const Asked& asked);
/// A system's cells in these columns.
Row compared_row(const Results& results, const std::string& group, const std::string& label, std::size_t system,
                 std::size_t length, Level level, const std::vector<Asked>& columns);

std::vector<std::string> headings(const std::vector<Asked>& columns);
std::string length_text(double length_s);
/// "n = 200", or from the fewest to the most queries behind a number.
std::string count_text(const Results& results, const std::vector<Asked>& columns,
                       const std::vector<std::size_t>& lengths);
/// A sentence for below a table: what was searched, and what ours and each system beside it takes for that.
std::string costs_note(const Results& results);
/// A sentence on the marks; empty where there is nothing to compare with.
std::string marks_note(const Results& results);

}  // namespace earmark::experiments
