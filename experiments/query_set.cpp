#include "experiments/query_set.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "data/audio_files.h"
#include "data/csv.h"
#include "experiments/table.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

// The rows of a table with a header, by column name.
class HeadedRows {
 public:
  HeadedRows(const fs::path& path, char separator) : path_(path), in_(path), reader_(in_, path.string(), separator) {
    check(in_.is_open(), path.string(), ": cannot be opened");
    check(reader_.next(header_), path.string(), ": empty; expected a header row");
  }

  bool next() {
    fields_.clear();
    while (reader_.next(fields_)) {
      if (fields_.size() > 1 || (fields_.size() == 1 && !fields_[0].empty())) {
        return true;
      }
    }
    return false;
  }
  bool has(const std::string& column) const { return find(column) < header_.size(); }
  std::string text(const std::string& column) const {
    const std::size_t at = find(column);
    return at < fields_.size() ? fields_[at] : "";
  }
  std::string needed(const std::string& column) const {
    check(has(column), path_.string(), ": expected a column ", column, " in its header");
    const std::string value = text(column);
    check(!value.empty(), path_.string(), ":", reader_.line(), ": ", column, " is empty");
    return value;
  }
  std::optional<double> number(const std::string& column) const {
    const std::string value = text(column);
    if (value.empty()) {
      return {};
    }
    double out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    check(error == std::errc() && end == value.data() + value.size(), path_.string(), ":", reader_.line(), ": ", column,
          ": expected a number, got \"", value, "\"");
    return out;
  }

 private:
  std::size_t find(const std::string& column) const {
    for (std::size_t i = 0; i < header_.size(); ++i) {
      if (header_[i] == column) {
        return i;
      }
    }
    return header_.size();
  }

  fs::path path_;
  std::ifstream in_;
  data::CsvReader reader_;
  std::vector<std::string> header_;
  std::vector<std::string> fields_;
};

std::string optional_number(const std::optional<double>& value) { return value ? str(*value) : ""; }

// "track@start:correlation;..." where the track is the query's own.
std::string equivalents_field(const Query& query) {
  std::string out;
  for (const Equivalent& place : query.equivalents) {
    out += str(out.empty() ? "" : ";", query.track, '@', fixed(place.start_s, 4), ':', fixed(place.correlation, 4));
  }
  return out;
}

// "length:correlation;..."
std::string repeats_field(const Query& query) {
  std::string out;
  for (const Repeat& repeat : query.repeats) {
    out += str(out.empty() ? "" : ";", repeat.length_s, ':', fixed(repeat.correlation, 4));
  }
  return out;
}

// The two numbers of every part "...@1.5:0.99" or "1.5:0.99", parts parted by semicolons.
template <class Pair>
std::vector<Pair> parse_pairs(const std::string& field) {
  std::vector<Pair> out;
  std::istringstream in(field);
  for (std::string part; std::getline(in, part, ';');) {
    const std::size_t colon = part.rfind(':');
    if (colon != std::string::npos) {
      const std::size_t at = part.rfind('@', colon);
      const std::size_t first = at == std::string::npos ? 0 : at + 1;
      out.push_back({std::strtod(part.c_str() + first, nullptr), std::strtod(part.c_str() + colon + 1, nullptr)});
    }
  }
  return out;
}

}  // namespace

bool has_length(const Query& query, double length_s) {
  constexpr double kSlackS = 1e-3;
  return query.length_s <= 0 || query.length_s + kSlackS >= length_s;
}

std::vector<Query> read_queries(const fs::path& csv) {
  HeadedRows table(csv, ',');
  std::vector<Query> out;
  const std::string track_column = table.has("track_id") ? "track_id" : "track";
  while (table.next()) {
    Query query;
    query.id = table.needed("query_id");
    query.path = table.needed("path");
    query.track = table.needed(track_column);
    table.needed("start_s");
    query.start_s = table.number("start_s").value_or(0);
    query.length_s = table.number("length_s").value_or(0);
    query.condition = table.text("condition");
    query.snr_db = table.number("snr_db");
    query.rt60_s = table.number("rt60_s");
    query.noise_kind = table.text("noise_kind");
    query.equivalents = parse_pairs<Equivalent>(table.text("equivalent_starts"));
    query.repeats = parse_pairs<Repeat>(table.text("repeats"));
    out.push_back(std::move(query));
  }
  return out;
}

QuerySet read_query_set(const fs::path& folder) { return {folder, read_queries(folder / "queries.csv")}; }

void write_query_set(const QuerySet& set) { write_queries(set.folder / "queries.csv", set.queries); }

void write_queries(const fs::path& csv, const std::vector<Query>& queries) {
  std::string out =
      "query_id,path,track_id,start_s,length_s,condition,snr_db,rt60_s,noise_kind,equivalent_starts,repeats\n";
  for (const Query& q : queries) {
    const std::array<std::string, 11> fields = {q.id,
                                                q.path.string(),
                                                q.track,
                                                fixed(q.start_s, 7),
                                                str(q.length_s),
                                                q.condition,
                                                optional_number(q.snr_db),
                                                optional_number(q.rt60_s),
                                                q.noise_kind,
                                                equivalents_field(q),
                                                repeats_field(q)};
    for (std::size_t i = 0; i < fields.size(); ++i) {
      out += str(i > 0 ? "," : "", data::csv_field(fields.at(i)));
    }
    out += '\n';
  }
  write_file_atomically(csv, std::string_view(out));
}

std::vector<Answer> read_answers(const fs::path& tsv, const QuerySet& set) {
  HeadedRows table(tsv, '\t');
  std::map<std::string, Answer> by_id;
  while (table.next()) {
    Answer answer{data::from_printable(table.text("track")), table.number("start_s").value_or(0), 0, true};
    const std::string matched = table.text("matched");
    answer.matched = matched.empty() || matched == "1" || matched == "true" || matched == "yes";
    if (const std::string score = table.text("score"); !score.empty()) {
      answer.score = table.number("score").value_or(0);
    }
    by_id.emplace(data::from_printable(table.needed("query_id")), std::move(answer));
  }
  std::vector<Answer> out;
  for (const Query& query : set.queries) {
    const auto found = by_id.find(query.id);
    out.push_back(found == by_id.end() ? Answer{} : found->second);
  }
  return out;
}

}  // namespace earmark::experiments
