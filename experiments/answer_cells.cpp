#include "experiments/answer_cells.h"

#include <xxhash.h>

#include <charconv>
#include <cstdint>
#include <fstream>

#include "data/csv.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

// The next row. Throws Error where it has not that many fields.
std::vector<std::string> next_row(data::CsvReader& reader, std::size_t fields) {
  std::vector<std::string> row;
  check(reader.next(row) && row.size() == fields, "expected ", fields, " fields");
  return row;
}

std::optional<AnswerCell> parse_cell(std::ifstream& in, const std::string& key, std::size_t lengths,
                                     std::size_t queries) {
  data::CsvReader reader(in, "cell");
  if (next_row(reader, 1)[0] != key) {
    return {};
  }
  AnswerCell cell(lengths, queries);
  const std::vector<std::string> seconds = next_row(reader, 4);
  cell.fingerprint_s = parse_number(seconds[1]);
  cell.search_s = parse_number(seconds[2]);
  cell.rank_s = parse_number(seconds[3]);
  for (std::vector<std::vector<Answer>>& ranking : cell.answers) {
    for (std::vector<Answer>& length : ranking) {
      for (Answer& answer : length) {
        const std::vector<std::string> row = next_row(reader, 4);
        answer = {row[0], parse_number(row[1]), parse_number(row[2]), row[3] == "1"};
      }
    }
  }
  return cell;
}

}  // namespace

AnswerCell::AnswerCell(std::size_t lengths, std::size_t queries) {
  answers.fill(std::vector<std::vector<Answer>>(lengths, std::vector<Answer>(queries)));
}

std::string short_hash(std::string_view text) {
  const std::uint64_t hash = XXH3_64bits(text.data(), text.size());
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[(hash >> static_cast<unsigned>(shift)) & 15U];
  }
  return out;
}

std::string exact_number(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

double parse_number(const std::string& text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  check(error == std::errc() && end == text.data() + text.size(), "expected a number, got \"", text, '"');
  return out;
}

fs::path cell_file(const fs::path& folder, const std::string& label, const std::string& key) {
  std::string name = label;
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    c = plain || c == '+' || c == '-' || c == '.' ? c : '_';
  }
  return folder / (name.substr(0, 100) + '.' + short_hash(key) + ".csv");
}

std::optional<AnswerCell> read_cell(const fs::path& file, const std::string& key, std::size_t lengths,
                                    std::size_t queries) {
  std::ifstream in(file, std::ios::binary);
  if (!in.is_open()) {
    return {};
  }
  try {
    return parse_cell(in, key, lengths, queries);
  } catch (const Error&) {
    return {};
  }
}

void write_cell(const fs::path& file, const std::string& key, const AnswerCell& cell) {
  std::string out = data::csv_field(key) + "\nseconds," + exact_number(cell.fingerprint_s) + ',' +
                    exact_number(cell.search_s) + ',' + exact_number(cell.rank_s) + '\n';
  for (const std::vector<std::vector<Answer>>& ranking : cell.answers) {
    for (const std::vector<Answer>& length : ranking) {
      for (const Answer& answer : length) {
        out += data::csv_field(answer.track) + ',' + exact_number(answer.start_s) + ',' + exact_number(answer.score) +
               ',' + (answer.matched ? "1" : "0") + '\n';
      }
    }
  }
  fs::create_directories(file.parent_path());
  write_file_atomically(file, std::string_view(out));
}

}  // namespace earmark::experiments
