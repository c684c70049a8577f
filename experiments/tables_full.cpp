// Tables 1 and 2 in full.
#include <algorithm>

#include "experiments/table_cells.h"
#include "experiments/tables.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

// The best of a row, where they differ.
void emphasise(Row& row, const std::vector<Rate>& rates) {
  double best = -1;
  double worst = 101;
  for (const Rate& rate : rates) {
    if (rate.count > 0) {
      best = std::max(best, rate.percent());
      worst = std::min(worst, rate.percent());
    }
  }
  for (std::size_t i = 0; i < rates.size(); ++i) {
    row.cells[i].strong = best > worst && rates[i].count > 0 && rates[i].percent() == best;
  }
}

// A row of a full table: one condition, all systems, and the paper's figure.
Row systems_row(const Results& results, const std::string& group, std::size_t length, Level level, const Asked& asked,
                std::optional<double> paper) {
  Row row{group, asked.heading, {}, false};
  std::vector<Rate> rates;
  for (std::size_t s = 0; s < results.evaluation.systems.size(); ++s) {
    rates.push_back(answered(results, s, length) ? rate_of(results, s, length, level, asked) : Rate{});
    row.cells.push_back(compared_cell(results, s, length, level, asked));
  }
  emphasise(row, rates);
  row.cells.push_back({paper ? fixed(*paper, 1) : "", "", false});
  return row;
}

void add_rows(const Results& results, const std::string& group, std::size_t length, Level level, DistortionKind kind,
              const std::vector<PaperRow>& paper, Table& table) {
  const std::vector<Asked> conditions = asked_of(kind);
  for (std::size_t i = 0; i < conditions.size() && any_query(results.set, kind); ++i) {
    table.rows.push_back(systems_row(results, group, length, level, conditions[i],
                                     paper.empty() ? std::nullopt : std::optional(paper.front().percent.at(i))));
  }
}

std::vector<std::string> system_heads(const Results& results) {
  std::vector<std::string> out;
  for (const SystemAnswers& system : results.evaluation.systems) {
    out.push_back(system.name);
  }
  out.emplace_back("paper");
  return out;
}

void add_full_notes(const Results& results, Table& table) {
  for (const std::string& note : {marks_note(results), costs_note(results)}) {
    if (!note.empty()) {
      table.notes.push_back(note);
    }
  }
}

}  // namespace

Table full_table_1(const Results& results) {
  const std::string count = count_text(results, asked_of(DistortionKind::noise_reverb), place_lengths(results));
  Table table{"Table 1 in full, " + count, "length", "SNR", system_heads(results), {}, {}};
  for (const std::size_t length : place_lengths(results)) {
    const double length_s = results.evaluation.lengths_s[length];
    const std::string group = length_text(length_s);
    add_rows(results, group, length, Level::place, DistortionKind::none, {}, table);
    add_rows(results, group, length, Level::place, DistortionKind::noise_reverb, paper_table_1(length_s), table);
  }
  table.notes.emplace_back(
      "Bold: the best of a row, where they differ. Exact: all fingerprints are compared; LSH: those in the probed "
      "buckets. Scored: ranked by the similarity of the whole sequence; vote: by agreement on the start. The paper "
      "searches by LSH and votes.");
  add_full_notes(results, table);
  return table;
}

Table full_table_2(const Results& results) {
  const std::size_t headline = headline_length(results);
  std::vector<Asked> all;
  for (const DistortionKind kind : kKinds) {
    const std::vector<Asked> more = asked_of(kind);
    all.insert(all.end(), more.begin(), more.end());
  }
  const std::string length = length_text(results.evaluation.lengths_s[headline]);
  Table table{"Table 2 in full, " + length + ", " + count_text(results, all, {headline}),
              "distortion",
              "SNR or RT60",
              system_heads(results),
              {},
              {}};
  for (const DistortionKind kind : kKinds) {
    add_rows(results, title_of(kind), headline, Level::file, kind, paper_table_2(kind), table);
  }
  add_full_notes(results, table);
  return table;
}

}  // namespace earmark::experiments
