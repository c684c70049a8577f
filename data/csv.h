// Comma-separated values (RFC 4180): quoted fields may hold commas, doubled quotes and line breaks.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace earmark::data {

class CsvReader {
 public:
  /// Reads from `in`, which must outlive the reader; `name` is for error messages. A byte-order mark is skipped.
  CsvReader(std::istream& in, std::string name, char separator = ',');
  /// The next row; false at the end. Throws Error on an unclosed quote, naming the line where it opened.
  bool next(std::vector<std::string>& fields);
  /// The line the last row began on, from 1.
  std::int64_t line() const { return row_line_; }

 private:
  std::istream& in_;
  std::string name_;
  char separator_;
  std::int64_t line_ = 1;
  std::int64_t row_line_ = 1;
};

/// A field for writing: quoted where it must be.
std::string csv_field(const std::string& text, char separator = ',');

}  // namespace earmark::data
