#include "data/csv.h"

#include <utility>

#include "kernels/error.h"

namespace earmark::data {

CsvReader::CsvReader(std::istream& in, std::string name, char separator)
    : in_(in), name_(std::move(name)), separator_(separator) {
  constexpr int kMark[] = {0xEF, 0xBB, 0xBF};
  for (const int byte : kMark) {
    if (in_.peek() != byte) {
      break;
    }
    in_.get();
  }
}

// One character at a time through the buffer: quoted line breaks make any line-wise reading wrong.
bool CsvReader::next(std::vector<std::string>& fields) {
  std::streambuf& buffer = *in_.rdbuf();
  constexpr int kEnd = std::char_traits<char>::eof();
  fields.clear();
  row_line_ = line_;
  int c = buffer.sbumpc();
  if (c == kEnd) {
    return false;
  }
  fields.emplace_back();
  std::int64_t quote_line = 0;  // where an open quote began; 0: none is open
  for (;; c = buffer.sbumpc()) {
    if (c == kEnd) {
      check(quote_line == 0, name_, ": line ", quote_line, ": a quote is never closed");
      return true;
    }
    line_ += c == '\n' ? 1 : 0;
    const auto character = static_cast<char>(c);
    if (quote_line != 0) {
      if (c != '"') {
        fields.back() += character;
      } else if (buffer.sgetc() == '"') {
        fields.back() += static_cast<char>(buffer.sbumpc());
      } else {
        quote_line = 0;
      }
    } else if (c == '"' && fields.back().empty()) {
      quote_line = line_;
    } else if (character == separator_) {
      fields.emplace_back();
    } else if (c == '\n') {
      return true;
    } else if (c != '\r' || buffer.sgetc() != '\n') {
      fields.back() += character;
    }
  }
}

std::string csv_field(const std::string& text, char separator) {
  if (text.find_first_of(std::string("\"\r\n") + separator) == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c;
    if (c == '"') {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace earmark::data
