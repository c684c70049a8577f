#include "experiments/tables.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using data::DistortionKind;

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

// Characters, not bytes: what a terminal shows.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

std::string escaped_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return out;
}

std::string html_row(const std::vector<std::string>& cells, const std::string& tag) {
  std::string out = "<tr>";
  for (const std::string& cell : cells) {
    out += str('<', tag, '>', escaped_html(cell), "</", tag, '>');
  }
  return out + "</tr>\n";
}

bool equal(const std::optional<double>& a, double b) { return a && std::abs(*a - b) < 1e-9; }

// The queries of one column.
struct Column {
  std::string heading;
  std::string condition;
  std::optional<double> snr_db;
  std::optional<double> rt60_s;

  bool operator()(const Query& query) const {
    return query.condition == condition && (!snr_db || equal(query.snr_db, *snr_db)) &&
           (!rt60_s || equal(query.rt60_s, *rt60_s));
  }
};

std::vector<Column> columns_of(DistortionKind kind) {
  const std::string name = Condition{kind, {}, {}}.name();
  std::vector<Column> out;
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

bool any_query(const QuerySet& set, const std::vector<Column>& columns) {
  return std::any_of(set.queries.begin(), set.queries.end(), [&](const Query& query) {
    return std::any_of(columns.begin(), columns.end(), [&](const Column& column) { return column(query); });
  });
}

std::vector<std::string> rates_row(const Results& results, std::vector<std::string> head, std::size_t system,
                                   std::size_t length, Level level, const std::vector<Column>& columns) {
  for (const Column& column : columns) {
    head.push_back(cell_text(hit_rate(results.set, results.verdicts[system][length], level, column)));
  }
  return head;
}

// A row of the paper; `before` columns are ours alone.
std::vector<std::string> paper_row(const PaperRow& row, std::vector<std::string> head, std::size_t before) {
  head.push_back(row.name);
  for (std::size_t i = 0; i < before; ++i) {
    head.emplace_back("");
  }
  for (const double percent : row.percent) {
    head.push_back(fixed(percent, 1));
  }
  return head;
}

bool answered(const Results& results, std::size_t system, std::size_t length) {
  const std::vector<Verdict>& verdicts = results.verdicts[system][length];
  return !results.evaluation.systems[system].places[length].empty() &&
         std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.asked; });
}

std::int64_t queries_per_cell(const Results& results, const std::vector<Column>& columns) {
  const std::size_t longest = results.evaluation.lengths_s.size() - 1;
  std::int64_t most = 0;
  for (const Column& column : columns) {
    most = std::max(most, hit_rate(results.set, results.verdicts[0][longest], Level::file, column).count);
  }
  return most;
}

void add_table_1_length(const Results& results, std::size_t length, const std::vector<Column>& columns,
                        std::size_t clean_columns, Table& table) {
  const double length_s = results.evaluation.lengths_s[length];
  const std::string first = str(length_s, " s");
  for (std::size_t s = 0; s < results.evaluation.systems.size(); ++s) {
    if (!answered(results, s, length)) {
      continue;
    }
    const std::string& name = results.evaluation.systems[s].name;
    table.rows.push_back(rates_row(results, {first, name}, s, length, Level::place, columns));
    if (name.find("vote") == std::string::npos) {
      table.rows.push_back(
          rates_row(results, {first, name + ", repeats as hits"}, s, length, Level::same_sound, columns));
    }
  }
  for (const PaperRow& row : paper_table_1(length_s)) {
    table.rows.push_back(paper_row(row, {first}, clean_columns));
  }
}

}  // namespace

std::string to_markdown(const Table& table) {
  std::vector<std::size_t> widths(table.header.size(), 3);
  const auto widen = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  };
  const auto line = [&](const std::vector<std::string>& row) {
    std::string out = "|";
    for (std::size_t i = 0; i < widths.size(); ++i) {
      out += ' ' + padded(i < row.size() ? row[i] : "", widths[i]) + " |";
    }
    return out + '\n';
  };
  widen(table.header);
  for (const std::vector<std::string>& row : table.rows) {
    widen(row);
  }
  std::string out = "### " + table.title + "\n\n" + line(table.header) + "|";
  for (const std::size_t width : widths) {
    out += std::string(width + 2, '-') + "|";
  }
  out += '\n';
  for (const std::vector<std::string>& row : table.rows) {
    out += line(row);
  }
  for (const std::string& note : table.notes) {
    out += '\n' + note + '\n';
  }
  return out;
}

std::string to_html(const Table& table) {
  std::string out = "<h3>" + escaped_html(table.title) + "</h3>\n<table>\n" + html_row(table.header, "th");
  for (const std::vector<std::string>& row : table.rows) {
    const bool paper = std::any_of(row.begin(), row.end(), [](const std::string& c) { return c.starts_with("paper"); });
    std::string line = html_row(row, "td");
    out += paper ? "<tr class=\"paper\">" + line.substr(4) : line;
  }
  out += "</table>\n";
  for (const std::string& note : table.notes) {
    out += "<p class=\"note\">" + escaped_html(note) + "</p>\n";
  }
  return out;
}

std::string cell_text(const Rate& rate) {
  if (rate.count == 0) {
    return "-";
  }
  const Interval interval = rate.interval();
  return fixed(rate.percent(), 1) + " [" + fixed(100 * interval.low, 1) + ", " + fixed(100 * interval.high, 1) + "]";
}

Table table_1(const Results& results) {
  std::vector<Column> columns = columns_of(DistortionKind::noise_reverb);
  const std::vector<Column> clean = columns_of(DistortionKind::none);
  const bool has_clean = any_query(results.set, clean);
  if (has_clean) {
    columns.insert(columns.begin(), clean.begin(), clean.end());
  }
  Table table{str("Table 1. Segment level (right file, at most 50 ms off), noise + reverb, top-1 hit rate in %, n = ",
                  queries_per_cell(results, columns)),
              {"length", "search"},
              {},
              {}};
  for (const Column& column : columns) {
    table.header.push_back(column.heading);
  }
  for (std::size_t length = 0; length < results.evaluation.lengths_s.size(); ++length) {
    add_table_1_length(results, length, columns, has_clean ? 1 : 0, table);
  }
  table.notes.emplace_back(
      "In brackets: 95 % interval (Wilson). \"Repeats as hits\" counts a wrong place as right "
      "where its clean sound equals the query's (log-mel correlation above 0.99).");
  return table;
}

std::vector<Table> table_2(const Results& results) {
  std::vector<Table> out;
  const std::size_t longest = results.evaluation.lengths_s.size() - 1;
  const std::array<std::pair<DistortionKind, const char*>, 4> parts = {
      {{DistortionKind::none, "clean"},
       {DistortionKind::noise, "noise"},
       {DistortionKind::noise_reverb, "noise + reverb"},
       {DistortionKind::reverb, "reverb, RT60"}}};
  for (const auto& [kind, name] : parts) {
    const std::vector<Column> columns = columns_of(kind);
    if (!any_query(results.set, columns)) {
      continue;
    }
    Table table{str("Table 2. Audio level (right file), ", results.evaluation.lengths_s[longest], " s, ", name,
                    ", top-1 hit rate in %, n = ", queries_per_cell(results, columns)),
                {"search"},
                {},
                {}};
    for (const Column& column : columns) {
      table.header.push_back(column.heading);
    }
    for (std::size_t s = 0; s < results.evaluation.systems.size(); ++s) {
      if (answered(results, s, longest)) {
        table.rows.push_back(
            rates_row(results, {results.evaluation.systems[s].name}, s, longest, Level::file, columns));
      }
    }
    for (const PaperRow& row : paper_table_2(kind)) {
      table.rows.push_back(paper_row(row, {}, 0));
    }
    out.push_back(std::move(table));
  }
  return out;
}

Table repeats_table(const Results& results) {
  Table table{"Repeats: excerpts whose clean sound occurs again elsewhere in the same track", {"length"}, {}, {}};
  std::vector<std::string> same = {"equal (correlation above 0.99): undecidable"};
  std::vector<std::string> similar = {"similar (above 0.95)"};
  for (const RepeatShare& share : results.repeats) {
    table.header.push_back(str(share.length_s, " s"));
    same.push_back(fixed(100 * share.same, 1) + " %");
    similar.push_back(fixed(100 * share.similar, 1) + " %");
  }
  table.rows = {same, similar};
  return table;
}

Table speed_table(const Results& results) {
  const SecondsPerQuery& seconds = results.evaluation.seconds;
  const std::string length = str(results.evaluation.lengths_s.back(), " s");
  Table table{"Milliseconds per " + length + " query, many at a time on all threads",
              {"decode and fingerprint", "exact search", "LSH search", "one ranking"},
              {},
              {}};
  table.rows.push_back({fixed(1e3 * seconds.fingerprint, 2), fixed(1e3 * seconds.exact, 2),
                        seconds.lsh > 0 ? fixed(1e3 * seconds.lsh, 2) : "-", fixed(1e3 * seconds.rank, 2)});
  return table;
}

std::string report_markdown(const Results& results) {
  const Setting& setting = results.setting;
  std::string out = "# Tables 1 and 2\n\n";
  out += str("Database: ", setting.database, ", ", setting.tracks, " tracks, ", fixed(setting.hours, 1), " h, ",
             setting.fingerprints, " fingerprints (the paper's: the Free Music Archive, so its figures are for ",
             "orientation). Model ", setting.model, ". Queries: ", setting.queries, ".\n\n");
  std::vector<Table> tables = {table_1(results)};
  const std::vector<Table> second = table_2(results);
  tables.insert(tables.end(), second.begin(), second.end());
  if (!results.repeats.empty()) {
    tables.push_back(repeats_table(results));
  }
  if (results.evaluation.seconds.fingerprint > 0) {
    tables.push_back(speed_table(results));
  }
  for (const Table& table : tables) {
    out += to_markdown(table) + '\n';
  }
  return out;
}

}  // namespace earmark::experiments
