// p-values: which differences from ours are real.
#include <algorithm>

#include "experiments/table_cells.h"
#include "experiments/tables.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

Cell p_cell(const Discordant& pairs, std::int64_t asked) {
  if (asked == 0) {
    return {"–", "", false};
  }
  const McNemar test = mcnemar(pairs);
  const std::string p = test.p < 0.001 ? "<0.001" : fixed(test.p, 3);
  return {p, str(pairs.only_first, ":", pairs.only_second, test.exact ? "" : " χ²"), test.real()};
}

// Every other system in one group of columns.
void add_p_rows(const Results& results, const std::string& group, std::size_t length, Level level,
                const std::vector<Asked>& columns, Table& table) {
  const std::size_t ours = headline_system(results.evaluation);
  for (std::size_t s = 0; s < results.evaluation.systems.size(); ++s) {
    if (s == ours || !answered(results, s, length)) {
      continue;
    }
    Row row{group, results.evaluation.systems[s].name, {}, false};
    for (const Asked& asked : columns) {
      row.cells.push_back(
          p_cell(against_ours(results, s, length, level, asked), rate_of(results, s, length, level, asked).count));
    }
    table.rows.push_back(std::move(row));
  }
}

Table p_table(const Results& results, const std::string& title, const std::string& group_head,
              const std::vector<Asked>& columns) {
  const std::string ours = results.evaluation.systems[headline_system(results.evaluation)].name;
  return {str("McNemar's test against ours (", ours, "), ", title), group_head, "method", headings(columns), {}, {}};
}

}  // namespace

std::vector<Table> mcnemar_tables(const Results& results) {
  std::vector<Table> out;
  if (results.evaluation.systems.empty()) {
    return out;
  }
  const std::vector<Asked> noisy = asked_of(DistortionKind::noise_reverb);
  Table places = p_table(results, "Table 1: p", "length", noisy);
  for (const std::size_t length : place_lengths(results)) {
    add_p_rows(results, length_text(results.evaluation.lengths_s[length]), length, Level::place, noisy, places);
  }
  out.push_back(std::move(places));
  const std::size_t headline = headline_length(results);
  const std::string at = str("Table 2 at ", length_text(results.evaluation.lengths_s[headline]));
  Table tracks = p_table(results, at + ", noise: p", "distortion", noisy);
  for (const DistortionKind kind : {DistortionKind::noise, DistortionKind::noise_reverb}) {
    if (any_query(results.set, kind)) {
      add_p_rows(results, title_of(kind), headline, Level::file, asked_of(kind), tracks);
    }
  }
  out.push_back(std::move(tracks));
  const std::vector<Asked> rooms = asked_of(DistortionKind::reverb);
  Table reverb = p_table(results, at + ", reverb: p", "distortion", rooms);
  if (any_query(results.set, DistortionKind::reverb)) {
    add_p_rows(results, title_of(DistortionKind::reverb), headline, Level::file, rooms, reverb);
  }
  out.push_back(std::move(reverb));
  out.erase(std::remove_if(out.begin(), out.end(), [](const Table& table) { return table.rows.empty(); }), out.end());
  if (!out.empty()) {
    out.back().notes.push_back(str(
        "Behind p: queries that ours alone answers right, and that the other alone does. Fewer than ", kExactBelowPairs,
        " of them: the exact binomial test, two-sided; else (χ²) chi-squared with Edwards' correction. Bold: p < "
        "0.05, the difference is real; in twenty cells without any, one would be bold by chance."));
  }
  return out;
}

}  // namespace earmark::experiments
