#include "experiments/known_answers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <utility>

#include "data/audio_files.h"
#include "experiments/answer_cells.h"
#include "experiments/table.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
constexpr const char* kBeginning = "answers\t1\t";

std::vector<std::string> tab_fields(const std::string& line) {
  std::vector<std::string> out(1);
  for (const char c : line) {
    if (c == '\t') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

Answer parse_place(const std::string& field, const std::vector<std::string>& tracks) {
  if (field.empty()) {
    return {};
  }
  const std::size_t colon = field.find(':');
  check(colon != std::string::npos, "expected TRACK:START, got \"", field, '"');
  std::size_t track = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + colon, track);
  check(error == std::errc() && end == field.data() + colon && track < tracks.size(), "there is no track \"",
        field.substr(0, colon), '"');
  return {tracks[track], parse_number(field.substr(colon + 1)), 0, true};
}

// A line at a time, the beginning's three first.
class KnownAnswersReader {
 public:
  void add(const std::string& line) {
    const std::vector<std::string> fields = tab_fields(line);
    switch (lines_++) {
      case 0:
        check(line.starts_with(kBeginning) && fields.size() == 3, "expected \"answers\", 1 and a digest");
        known_.digest = fields[2];
        break;
      case 1:
        check(fields[0] == "tracks", "expected \"tracks\" and their paths");
        std::transform(fields.begin() + 1, fields.end(), std::back_inserter(tracks_), data::from_printable);
        break;
      case 2:
        check(fields[0] == "query_id" && fields.size() > 1, "expected \"query_id\" and lengths");
        for (std::size_t i = 1; i < fields.size(); ++i) {
          known_.lengths_s.push_back(parse_number(fields[i]));
        }
        break;
      default:
        add_query(fields);
    }
  }
  KnownAnswers finish() {
    check(lines_ >= 3, "ends before its first answer");
    return std::move(known_);
  }

 private:
  void add_query(const std::vector<std::string>& fields) {
    check(fields.size() == known_.lengths_s.size() + 1, "expected ", known_.lengths_s.size() + 1, " fields, got ",
          fields.size());
    const auto [at, is_new] = known_.by_query.emplace(data::from_printable(fields[0]), std::vector<Answer>());
    check(is_new, "query ", fields[0], " was answered before");
    for (std::size_t i = 1; i < fields.size(); ++i) {
      at->second.push_back(parse_place(fields[i], tracks_));
    }
  }

  KnownAnswers known_;
  std::vector<std::string> tracks_;
  int lines_ = 0;
};

}  // namespace

std::string digest_of(const QuerySet& set) {
  std::string text;
  for (const Query& query : set.queries) {
    text += str(query.id, '\t', query.track, '\t', fixed(query.start_s, 6), '\t', query.condition, '\t',
                query.snr_db ? exact_number(*query.snr_db) : "", '\t', query.rt60_s ? exact_number(*query.rt60_s) : "",
                '\t', query.noise_kind, '\n');
  }
  return short_hash(text);
}

bool holds_known_answers(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  return std::getline(in, line) && line.starts_with(kBeginning);
}

KnownAnswers read_known_answers(const fs::path& file) {
  std::ifstream in(file);
  check(in.is_open(), file.string(), ": cannot be opened");
  KnownAnswersReader reader;
  int number = 0;
  try {
    for (std::string line; std::getline(in, line);) {
      ++number;
      reader.add(line);
    }
    return reader.finish();
  } catch (const Error& error) {
    fail(file.string(), ":", number, ": ", error.what());
  }
}

void write_known_answers(const fs::path& file, const QuerySet& set, const std::vector<double>& lengths_s,
                         const std::vector<std::vector<Answer>>& places) {
  std::map<std::string, std::size_t> numbers;
  std::string tracks = "tracks";
  std::string head = "query_id";
  std::string rows;
  for (std::size_t l = 0; l < lengths_s.size(); ++l) {
    head += places[l].empty() ? "" : '\t' + exact_number(lengths_s[l]);
  }
  for (std::size_t q = 0; q < set.queries.size(); ++q) {
    rows += data::printable(set.queries[q].id);
    for (const std::vector<Answer>& length : places) {
      if (length.empty()) {
        continue;
      }
      rows += '\t';
      const Answer& answer = length[q];
      if (answer.track.empty()) {
        continue;
      }
      const auto [at, is_new] = numbers.emplace(answer.track, numbers.size());
      tracks += is_new ? '\t' + data::printable(answer.track) : "";
      // To 0.1 ms: the tables ask for 50.
      rows += str(at->second, ':', exact_number(std::round(answer.start_s * 1e4) / 1e4));
    }
    rows += '\n';
  }
  write_file_atomically(file,
                        std::string_view(kBeginning + digest_of(set) + '\n' + tracks + '\n' + head + '\n' + rows));
}

FittedAnswers fit(const KnownAnswers& known, const QuerySet& set, const std::vector<double>& lengths_s) {
  FittedAnswers out;
  if (known.digest != digest_of(set)) {
    return {{}, "they are to other queries"};
  }
  bool any = false;
  for (const double length_s : lengths_s) {
    std::vector<Answer>& places = out.places.emplace_back();
    const auto at = std::find_if(known.lengths_s.begin(), known.lengths_s.end(),
                                 [&](double each) { return std::abs(each - length_s) < 1e-6; });
    if (at == known.lengths_s.end()) {
      continue;
    }
    any = true;
    for (const Query& query : set.queries) {
      const auto answers = known.by_query.find(query.id);
      if (answers == known.by_query.end()) {
        return {{}, "there is none to query " + query.id};
      }
      places.push_back(answers->second[static_cast<std::size_t>(at - known.lengths_s.begin())]);
    }
  }
  return any ? out : FittedAnswers{{}, "there are none of any length that is asked"};
}

}  // namespace earmark::experiments
