#include "experiments/tables.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

constexpr std::array kKinds = {DistortionKind::none, DistortionKind::noise, DistortionKind::noise_reverb,
                               DistortionKind::reverb};

bool equal(const std::optional<double>& a, double b) { return a && std::abs(*a - b) < 1e-9; }

// The queries of one condition of the paper.
struct Asked {
  std::string heading;  // "10 dB"
  std::string condition;
  std::optional<double> snr_db;
  std::optional<double> rt60_s;

  bool operator()(const Query& query) const {
    return query.condition == condition && (!snr_db || equal(query.snr_db, *snr_db)) &&
           (!rt60_s || equal(query.rt60_s, *rt60_s));
  }
};

std::vector<Asked> asked_of(DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  std::vector<Asked> out;
  if (kind == DistortionKind::none) {
    out.push_back({"clean", name, {}, {}});
  } else if (kind == DistortionKind::reverb) {
    for (const double rt60 : kRt60sS) {
      out.push_back({fixed(rt60, 1) + " s", name, {}, rt60});
    }
  } else {
    for (const double snr : kSnrsDb) {
      out.push_back({fixed(snr, 0) + " dB", name, snr, {}});
    }
  }
  return out;
}

const char* title_of(DistortionKind kind) {
  switch (kind) {
    case DistortionKind::none:
      return "undistorted";
    case DistortionKind::noise:
      return "noise";
    case DistortionKind::noise_reverb:
      return "noise + reverb";
    case DistortionKind::reverb:
      return "reverb, RT60";
  }
  return "?";
}

bool any_query(const QuerySet& set, DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  return std::any_of(set.queries.begin(), set.queries.end(), [&](const Query& q) { return q.condition == name; });
}

bool answered(const Results& results, std::size_t system, std::size_t length) {
  const std::vector<Verdict>& verdicts = results.verdicts[system][length];
  return !results.evaluation.systems[system].places[length].empty() &&
         std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.asked; });
}

Rate rate_of(const Results& results, std::size_t system, std::size_t length, Level level, const Asked& asked) {
  return hit_rate(results.set, results.verdicts[system][length], level, asked);
}

std::string length_text(double length_s) { return str(length_s, " s"); }

// "n = 200", or from the fewest to the most queries behind a number.
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

std::vector<std::size_t> all_lengths(const Results& results) {
  std::vector<std::size_t> out(results.evaluation.lengths_s.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = i;
  }
  return out;
}

Row rates_row(const Results& results, const std::string& group, const std::string& label, std::size_t system,
              std::size_t length, Level level, const std::vector<Asked>& columns) {
  Row row{group, label, {}, false};
  for (const Asked& asked : columns) {
    row.cells.push_back(rate_cell(rate_of(results, system, length, level, asked)));
  }
  return row;
}

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
  table.rows.push_back(rates_row(results, group, "ours", ours, length, level, columns));
  if (level == Level::place) {
    table.rows.push_back(
        rates_row(results, group, "ours, exact repeats as hits", ours, length, Level::same_sound, columns));
    table.rows.back().aside = true;
  }
  for (std::size_t s = 0; s < systems.size(); ++s) {
    if (systems[s].method.empty() && answered(results, s, length)) {
      table.rows.push_back(rates_row(results, group, systems[s].name, s, length, level, columns));
    }
  }
  for (const PaperRow& row : paper) {
    table.rows.push_back(paper_row(row, group));
  }
}

std::vector<std::string> headings(const std::vector<Asked>& columns) {
  std::vector<std::string> out(columns.size());
  std::transform(columns.begin(), columns.end(), out.begin(), [](const Asked& column) { return column.heading; });
  return out;
}

Table in_papers_layout(const Results& results, const std::vector<DistortionKind>& kinds, const std::string& title) {
  const std::size_t longest = results.evaluation.lengths_s.size() - 1;
  const std::vector<Asked> columns = asked_of(kinds.front());
  Table table{str("Table 2. ", title, ": right track, ", length_text(results.evaluation.lengths_s[longest]),
                  ", top-1 hit rate in %, ", count_text(results, columns, {longest})),
              "distortion",
              "method",
              headings(columns),
              {},
              {}};
  for (const DistortionKind kind : kinds) {
    if (any_query(results.set, kind)) {
      add_group(results, title_of(kind), longest, Level::file, asked_of(kind), paper_table_2(kind), table);
    }
  }
  return table;
}

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
    row.cells.push_back(rate_cell(rates.back()));
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

}  // namespace

Cell rate_cell(const Rate& rate) {
  if (rate.count == 0) {
    return {"–", "", false};
  }
  const auto text = [](double percent) { return percent == 100 ? "100" : fixed(percent, 1); };
  const Interval interval = rate.interval();
  return {text(rate.percent()), text(100 * interval.low) + "–" + text(100 * interval.high), false};
}

std::size_t headline_system(const Evaluation& evaluation) {
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    if (evaluation.systems[s].method == "exact" && evaluation.systems[s].ranking == "scored") {
      return s;
    }
  }
  return 0;
}

std::vector<Table> table_1(const Results& results) {
  if (!any_query(results.set, DistortionKind::noise_reverb)) {
    return {};
  }
  const std::vector<Asked> columns = asked_of(DistortionKind::noise_reverb);
  Table table{str("Table 1. Noise + reverb: right track and at most 50 ms off, top-1 hit rate in %, ",
                  count_text(results, columns, all_lengths(results))),
              "length",
              "method",
              headings(columns),
              {},
              {}};
  for (const std::size_t length : all_lengths(results)) {
    const double length_s = results.evaluation.lengths_s[length];
    add_group(results, length_text(length_s), length, Level::place, columns, paper_table_1(length_s), table);
  }
  table.notes.push_back(
      str("Ours: ", results.evaluation.systems[headline_system(results.evaluation)].name,
          ". Behind a number: its 95 % interval (Wilson). \"Exact repeats as hits\" counts a wrong place of the right "
          "track where its clean sound equals the query's (log-mel correlation above 0.99)."));
  return {table};
}

std::vector<Table> table_2(const Results& results) {
  std::vector<Table> out;
  const bool noise = any_query(results.set, DistortionKind::noise);
  if (noise || any_query(results.set, DistortionKind::noise_reverb)) {
    out.push_back(in_papers_layout(results, {DistortionKind::noise, DistortionKind::noise_reverb},
                                   "Noise, alone and with reverb"));
  }
  if (any_query(results.set, DistortionKind::reverb)) {
    out.push_back(in_papers_layout(results, {DistortionKind::reverb}, "Reverb"));
  }
  return out;
}

Table full_table_1(const Results& results) {
  const std::string count = count_text(results, asked_of(DistortionKind::noise_reverb), all_lengths(results));
  Table table{"Table 1 in full, " + count, "length", "SNR", system_heads(results), {}, {}};
  for (const std::size_t length : all_lengths(results)) {
    const double length_s = results.evaluation.lengths_s[length];
    const std::string group = length_text(length_s);
    add_rows(results, group, length, Level::place, DistortionKind::none, {}, table);
    add_rows(results, group, length, Level::place, DistortionKind::noise_reverb, paper_table_1(length_s), table);
  }
  table.notes.emplace_back(
      "Bold: the best of a row, where they differ. Exact: all fingerprints are compared; LSH: those in the probed "
      "buckets. Scored: ranked by the similarity of the whole sequence; vote: by agreement on the start. The paper "
      "searches by LSH and votes.");
  return table;
}

Table full_table_2(const Results& results) {
  const std::size_t longest = results.evaluation.lengths_s.size() - 1;
  std::vector<Asked> all;
  for (const DistortionKind kind : kKinds) {
    const std::vector<Asked> more = asked_of(kind);
    all.insert(all.end(), more.begin(), more.end());
  }
  const std::string length = length_text(results.evaluation.lengths_s[longest]);
  Table table{"Table 2 in full, " + length + ", " + count_text(results, all, {longest}),
              "distortion",
              "SNR or RT60",
              system_heads(results),
              {},
              {}};
  for (const DistortionKind kind : kKinds) {
    add_rows(results, title_of(kind), longest, Level::file, kind, paper_table_2(kind), table);
  }
  return table;
}

Table repeats_table(const std::vector<RepeatShare>& shares) {
  Table table{str("Undecidable queries: the same sound occurs elsewhere in the track, % of ", shares.front().same.count,
                  " excerpts"),
              "",
              "the other place",
              {},
              {{"", "equal (correlation above 0.99)", {}, false}, {"", "similar (above 0.95)", {}, false}},
              {}};
  for (const RepeatShare& share : shares) {
    table.heads.push_back(length_text(share.length_s));
    table.rows[0].cells.push_back(rate_cell(share.same));
    table.rows[1].cells.push_back(rate_cell(share.similar));
  }
  return table;
}

Table speed_table(const SecondsPerQuery& seconds, double length_s) {
  Table table{"Milliseconds per " + length_text(length_s) + " query, many at a time on all threads",
              "",
              "search",
              {"decode and fingerprint", "search", "rank once"},
              {},
              {}};
  for (const auto& [name, search] : {std::pair("exact", seconds.exact), std::pair("LSH", seconds.lsh)}) {
    if (search > 0) {
      table.rows.push_back({"",
                            name,
                            {{fixed(1e3 * seconds.fingerprint, 2), "", false},
                             {fixed(1e3 * search, 2), "", false},
                             {fixed(1e3 * seconds.rank, 2), "", false}},
                            false});
    }
  }
  return table;
}

Table costs_table(const Results& results) {
  Table table{"What every system takes",
              "",
              "system",
              {str("ms per ", length_text(results.evaluation.lengths_s.back()),
                   " query, many at a time on all threads, decoding included"),
               "MB of index per hour of music"},
              {},
              {}};
  for (const SystemAnswers& system : results.evaluation.systems) {
    if (system.seconds > 0) {
      table.rows.push_back(
          {"",
           system.name,
           {{fixed(1e3 * system.seconds, 2), "", false}, {fixed(1e-6 * system.bytes_per_hour, 2), "", false}},
           false});
    }
  }
  return table;
}

Table choices_table(const std::vector<Choice>& choices) {
  Table table{str("What the choices cost: Table 1's queries (0 to 15 dB together, n = ",
                  choices.front().rates.front().count, "), scored, hit rate in %"),
              "stored as, query hop",
              "search",
              {},
              {},
              {}};
  for (const double length_s : choices.front().lengths_s) {
    table.heads.push_back(length_text(length_s));
  }
  table.heads.push_back("ms per " + length_text(choices.front().lengths_s.back()) + " query");
  table.heads.emplace_back("MB per hour");
  for (const Choice& choice : choices) {
    Row row{str(choice.precision, ", ", choice.query_hop_s, " s"), choice.method, {}, false};
    for (const Rate& rate : choice.rates) {
      row.cells.push_back({rate_cell(rate).text, "", false});
    }
    row.cells.push_back({fixed(choice.ms_per_query, 2), "", false});
    row.cells.push_back({fixed(choice.bytes_per_hour / 1e6, 1), "", false});
    table.rows.push_back(std::move(row));
  }
  table.notes.emplace_back(
      "Every row answers the same queries. The time is that of fingerprints, search and one ranking, many queries at a "
      "time; MB are of stored fingerprints.");
  return table;
}

std::vector<Table> all_tables(const Results& results) {
  std::vector<Table> out = table_1(results);
  const std::vector<RepeatShare> shares = repeat_shares(results.set);
  if (!shares.empty()) {
    out.push_back(repeats_table(shares));
  }
  const std::vector<Table> second = table_2(results);
  out.insert(out.end(), second.begin(), second.end());
  out.push_back(full_table_1(results));
  out.push_back(full_table_2(results));
  if (!results.choices.empty()) {
    out.push_back(choices_table(results.choices));
  }
  if (results.evaluation.seconds.fingerprint > 0) {
    out.push_back(speed_table(results.evaluation.seconds, results.evaluation.lengths_s.back()));
  }
  out.push_back(costs_table(results));
  out.erase(std::remove_if(out.begin(), out.end(), [](const Table& table) { return table.rows.empty(); }), out.end());
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
