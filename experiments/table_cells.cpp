#include "experiments/table_cells.h"

#include <algorithm>

#include "kernels/error.h"

namespace earmark::experiments {

Cell rate_cell(const Rate& rate) {
  if (rate.count == 0) {
    return {"–", "", false};
  }
  const auto text = [](double percent) { return percent == 100 ? "100" : fixed(percent, 1); };
  const Interval interval = rate.interval();
  return {text(rate.percent()), text(100 * interval.low) + "–" + text(100 * interval.high), false};
}

Cell compared_cell(const Results& results, std::size_t system, std::size_t length, Level level, const Asked& asked) {
  Cell cell = rate_cell(answered(results, system, length) ? rate_of(results, system, length, level, asked) : Rate{});
  if (system != headline_system(results.evaluation)) {
    const Discordant pairs = against_ours(results, system, length, level, asked);
    if (mcnemar(pairs).real()) {
      cell.difference = pairs.only_first > pairs.only_second ? Difference::below : Difference::above;
    }
  }
  return cell;
}

Row compared_row(const Results& results, const std::string& group, const std::string& label, std::size_t system,
                 std::size_t length, Level level, const std::vector<Asked>& columns) {
  Row row{group, label, {}, false};
  for (const Asked& asked : columns) {
    row.cells.push_back(compared_cell(results, system, length, level, asked));
  }
  return row;
}

std::vector<std::string> headings(const std::vector<Asked>& columns) {
  std::vector<std::string> out(columns.size());
  std::transform(columns.begin(), columns.end(), out.begin(), [](const Asked& column) { return column.heading; });
  return out;
}

std::string length_text(double length_s) { return str(length_s, " s"); }

std::string count_text(const Results& results, const std::vector<Asked>& columns,
                       const std::vector<std::size_t>& lengths) {
  std::int64_t fewest = 0;
  std::int64_t most = 0;
  for (const std::size_t length : lengths) {
    for (const Asked& asked : columns) {
      const std::int64_t count = rate_of(results, 0, length, Level::file, asked).count;
      most = std::max(most, count);
      fewest = count > 0 && (fewest == 0 || count < fewest) ? count : fewest;
    }
  }
  return fewest == most ? str("n = ", most) : str("n = ", fewest, " to ", most);
}

std::string costs_note(const Results& results) {
  const Setting& setting = results.setting;
  std::string out = str("Searched: ", setting.tracks, " tracks, ", fixed(setting.hours, 1), " h.");
  std::string costs;
  const std::vector<SystemAnswers>& systems = results.evaluation.systems;
  for (std::size_t s = 0; s < systems.size(); ++s) {
    const SystemAnswers& system = systems[s];
    const bool has_row = system.method.empty() || s == headline_system(results.evaluation);
    if (system.seconds > 0 && has_row) {
      costs += str(costs.empty() ? " " : "; ", system.name, " ", fixed(1e3 * system.seconds, 1), " ms, ",
                   fixed(1e-6 * system.bytes_per_hour, 2), " MB");
    }
  }
  return costs.empty() ? out
                       : str(out, " A ", length_text(results.evaluation.lengths_s.back()),
                             " query and an hour of music in the index take:", costs, ".");
}

std::string marks_note(const Results& results) {
  return results.evaluation.systems.size() < 2
             ? ""
             : str(kBelowSign, " and ", kAboveSign,
                   ": really below and above ours on the same queries, by McNemar's test (p < 0.05, each cell by "
                   "itself).");
}

}  // namespace earmark::experiments
