#include "experiments/tables.h"

#include <algorithm>
#include <iterator>

#include "experiments/table_cells.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

Row paper_row(const PaperRow& figures, const std::string& group) {
  Row row{group, figures.name, {}, true};
  for (const double percent : figures.percent) {
    row.cells.push_back({fixed(percent, 1), "", false});
  }
  return row;
}

// Ours, systems from elsewhere that were asked the same, and the paper's.
void add_group(const Results& results, const std::string& group, std::size_t length, Level level,
               const std::vector<Asked>& columns, const std::vector<PaperRow>& paper, Table& table) {
  const std::vector<SystemAnswers>& systems = results.evaluation.systems;
  const std::size_t ours = headline_system(results.evaluation);
  if (!answered(results, ours, length)) {
    return;
  }
  table.rows.push_back(compared_row(results, group, "ours", ours, length, level, columns));
  if (level == Level::place) {
    table.rows.push_back(
        compared_row(results, group, "ours, exact repeats as hits", ours, length, Level::same_sound, columns));
    table.rows.back().aside = true;
  }
  for (std::size_t s = 0; s < systems.size(); ++s) {
    if (systems[s].method.empty() && answered(results, s, length)) {
      table.rows.push_back(compared_row(results, group, systems[s].name, s, length, level, columns));
    }
  }
  for (const PaperRow& row : paper) {
    table.rows.push_back(paper_row(row, group));
  }
}

// Which rows were not asked now, and which are missing.
std::string earlier_note(const Results& results) {
  const std::vector<SystemAnswers>& systems = results.evaluation.systems;
  const bool any = std::any_of(systems.begin(), systems.end(), [](const SystemAnswers& each) { return each.earlier; });
  std::string out = any ? "\"(earlier)\": answers to the same queries, read from a file instead of searched now." : "";
  for (const std::string& reason : results.evaluation.left_out) {
    out += str(out.empty() ? "" : " ", "Left out: ", reason, '.');
  }
  return out;
}

// Below the last of some tables.
void add_notes(const std::vector<std::string>& notes, Table& table) {
  std::copy_if(notes.begin(), notes.end(), std::back_inserter(table.notes),
               [](const std::string& note) { return !note.empty(); });
}

// For kinds of distortion that have the same columns.
Table empty_table(const Results& results, const std::string& title, const std::string& group_head,
                  const std::vector<DistortionKind>& kinds, const std::vector<std::size_t>& lengths) {
  std::vector<Asked> all;
  for (const DistortionKind kind : kinds) {
    const std::vector<Asked> more = asked_of(kind);
    all.insert(all.end(), more.begin(), more.end());
  }
  return {str(title, ", top-1 hit rate in %, ", count_text(results, all, lengths)),
          group_head,
          "method",
          headings(asked_of(kinds.front())),
          {},
          {}};
}

// Kinds of distortion that have the same columns.
struct Kinds {
  std::string title;
  std::vector<DistortionKind> kinds;
};

// Those that were asked.
std::vector<Kinds> kinds_asked(const QuerySet& set) {
  std::vector<Kinds> out;
  if (any_query(set, DistortionKind::noise) || any_query(set, DistortionKind::noise_reverb)) {
    out.push_back({"Noise, alone and with reverb", {DistortionKind::noise, DistortionKind::noise_reverb}});
  }
  if (any_query(set, DistortionKind::reverb)) {
    out.push_back({"Reverb", {DistortionKind::reverb}});
  }
  return out;
}

}  // namespace

std::vector<Table> table_1(const Results& results) {
  if (!any_query(results.set, DistortionKind::noise_reverb)) {
    return {};
  }
  const std::vector<Asked> columns = asked_of(DistortionKind::noise_reverb);
  const std::vector<std::size_t> lengths = place_lengths(results);
  Table table = empty_table(results, "Table 1. Noise + reverb: right track and at most 50 ms off", "length",
                            {DistortionKind::noise_reverb}, lengths);
  for (const std::size_t length : lengths) {
    const double length_s = results.evaluation.lengths_s[length];
    add_group(results, length_text(length_s), length, Level::place, columns, paper_table_1(length_s), table);
  }
  add_notes({str("Ours: ", results.evaluation.systems[headline_system(results.evaluation)].name,
                 ". Behind a number: its 95 % interval (Wilson). \"Exact repeats as hits\" counts a wrong place of the "
                 "right track where its clean sound equals the query's (log-mel correlation above 0.99)."),
             marks_note(results), costs_note(results), earlier_note(results)},
            table);
  return {table};
}

std::vector<Table> table_2(const Results& results) {
  std::vector<Table> out;
  const std::size_t length = headline_length(results);
  const std::string text = length_text(results.evaluation.lengths_s[length]);
  for (const auto& [title, kinds] : kinds_asked(results.set)) {
    out.push_back(
        empty_table(results, str("Table 2. ", title, ": right track, ", text), "distortion", kinds, {length}));
    for (const DistortionKind kind : kinds) {
      if (any_query(results.set, kind)) {
        add_group(results, title_of(kind), length, Level::file, asked_of(kind), paper_table_2(kind), out.back());
      }
    }
    add_notes({marks_note(results), costs_note(results), earlier_note(results)}, out.back());
  }
  return out;
}

std::vector<Table> wider_table_1(const Results& results) {
  if (!any_query(results.set, DistortionKind::noise_reverb)) {
    return {};
  }
  const std::vector<Asked> columns = asked_of(DistortionKind::noise_reverb);
  const std::vector<std::size_t> lengths = place_lengths(results);
  Table table =
      empty_table(results, "Table 1 with wider tolerances. Noise + reverb: right track and at most so far off",
                  "length, tolerance", {DistortionKind::noise_reverb}, lengths);
  for (const std::size_t length : lengths) {
    const std::string text = length_text(results.evaluation.lengths_s[length]);
    add_group(results, text + ", 100 ms", length, Level::within_100_ms, columns, {}, table);
    add_group(results, text + ", 500 ms", length, Level::within_500_ms, columns, {}, table);
  }
  add_notes({marks_note(results), costs_note(results)}, table);
  return {table};
}

std::vector<Table> other_lengths_table_2(const Results& results) {
  std::vector<std::size_t> lengths = track_lengths(results);
  std::erase(lengths, headline_length(results));
  std::vector<Table> out;
  for (const auto& [title, kinds] : kinds_asked(results.set)) {
    if (lengths.empty()) {
      break;
    }
    out.push_back(empty_table(results, str("Table 2 at other lengths. ", title, ": right track"), "distortion, length",
                              kinds, lengths));
    for (const DistortionKind kind : kinds) {
      for (const std::size_t length : lengths) {
        const std::string text = length_text(results.evaluation.lengths_s[length]);
        if (any_query(results.set, kind)) {
          add_group(results, str(title_of(kind), ", ", text), length, Level::file, asked_of(kind), {}, out.back());
        }
      }
    }
    add_notes({marks_note(results), costs_note(results)}, out.back());
  }
  return out;
}

std::vector<Table> all_tables(const Results& results) {
  std::vector<Table> out = table_1(results);
  const auto add = [&](const std::vector<Table>& more) { out.insert(out.end(), more.begin(), more.end()); };
  const std::vector<RepeatShare> shares = repeat_shares(results.set);
  if (!shares.empty()) {
    out.push_back(repeats_table(shares));
  }
  add(table_2(results));
  add(other_lengths_table_2(results));
  add(wider_table_1(results));
  add({full_table_1(results), full_table_2(results)});
  add(mcnemar_tables(results));
  if (!results.choices.empty()) {
    out.push_back(choices_table(results.choices));
  }
  if (results.evaluation.seconds.fingerprint > 0) {
    out.push_back(speed_table(results.evaluation.seconds, results.evaluation.lengths_s.back()));
  }
  out.push_back(costs_table(results));
  std::erase_if(out, [](const Table& table) { return table.rows.empty(); });
  return out;
}

std::string setting_text(const Results& results) {
  const Setting& setting = results.setting;
  return str("Database: ", setting.database, ", ", setting.tracks, " tracks, ", fixed(setting.hours, 1), " h, ",
             setting.fingerprints, " fingerprints as ", setting.precision, ". Queries: ", setting.queries,
             ", a fingerprint every ", setting.query_hop_s, " s. Model ", setting.model,
             ". The paper's database is the Free Music Archive, larger and of other music: its figures are for "
             "orientation.");
}

std::string report_markdown(const Results& results) {
  std::string out = "# Tables 1 and 2\n\n" + setting_text(results) + "\n\n";
  for (const Table& table : all_tables(results)) {
    out += to_markdown(table) + '\n';
  }
  return out;
}

}  // namespace earmark::experiments
