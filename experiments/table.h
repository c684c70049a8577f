// A table as it is shown: numbers with small print (their intervals), rows in groups. Markdown, aligned so that it
// reads well on a terminal, is made from it here, HTML in report_tables.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace earmark::experiments {

/// From ours, where it is real.
enum class Difference : std::uint8_t { none, below, above };
inline constexpr const char* kBelowSign = "↓";
inline constexpr const char* kAboveSign = "↑";

struct Cell {
  std::string text;     ///< "81.5"
  std::string small;    ///< In small print behind it: "75.5–86.3".
  bool strong = false;  ///< Emphasised: the best of its row.
  Difference difference = Difference::none;
};
/// Nothing where there is no difference.
std::string sign_of(const Cell& cell);

struct Row {
  std::string group;  ///< "0.96 s"; consecutive rows of one group belong together.
  std::string label;  ///< "0 dB"
  std::vector<Cell> cells;
  bool pale = false;   ///< Not ours: figures to compare with.
  bool aside = false;  ///< Counted in another way than the rows around it: not compared with them.
};

struct Table {
  std::string title;
  std::string group_head;  ///< Empty: rows have no groups.
  std::string label_head;
  std::vector<std::string> heads;  ///< One for each cell of a row.
  std::vector<Row> rows;
  std::vector<std::string> notes;
};

std::string to_markdown(const Table& table);

/// `value` with so many decimals.
std::string fixed(double value, int decimals);
/// With the characters that HTML reserves escaped.
std::string escaped_html(const std::string& text);

}  // namespace earmark::experiments
