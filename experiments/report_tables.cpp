// Tables as HTML, with the best of each column marked.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "experiments/report.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

enum class Mark : std::uint8_t { none, winner, best_here };

std::optional<double> number_of(const Cell& cell) {
  char* end = nullptr;
  const double value = std::strtod(cell.text.c_str(), &end);
  return end == cell.text.c_str() ? std::nullopt : std::optional(value);
}

// The best and the worst of one column, among the rows that count.
struct Extremes {
  double best = -1e300;
  double worst = 1e300;

  void add(double value) {
    best = std::max(best, value);
    worst = std::min(worst, value);
  }
  bool wins(double value) const { return best > worst && value == best; }
};

// Marks of rows [begin, end), which are one group, in one column.
void mark_column(const Table& table, std::size_t begin, std::size_t end, std::size_t column,
                 std::vector<std::vector<Mark>>& marks) {
  const auto value_of = [&](std::size_t row) -> std::optional<double> {
    const Row& cells = table.rows[row];
    return cells.aside || column >= cells.cells.size() ? std::nullopt : number_of(cells.cells[column]);
  };
  Extremes all;
  Extremes here;
  for (std::size_t row = begin; row < end; ++row) {
    if (const auto value = value_of(row)) {
      all.add(*value);
      if (!table.rows[row].pale) {
        here.add(*value);
      }
    }
  }
  for (std::size_t row = begin; row < end; ++row) {
    if (const auto value = value_of(row)) {
      const bool best_here = !table.rows[row].pale && here.wins(*value);
      marks[row][column] = all.wins(*value) ? Mark::winner : best_here ? Mark::best_here : Mark::none;
    }
  }
}

std::vector<std::vector<Mark>> marks_of(const Table& table, bool winners) {
  std::vector<std::vector<Mark>> out(table.rows.size(), std::vector<Mark>(table.heads.size(), Mark::none));
  for (std::size_t begin = 0; winners && begin < table.rows.size();) {
    std::size_t end = begin;
    while (end < table.rows.size() && table.rows[end].group == table.rows[begin].group) {
      ++end;
    }
    for (std::size_t column = 0; column < table.heads.size(); ++column) {
      mark_column(table, begin, end, column, out);
    }
    begin = end;
  }
  return out;
}

// Numbers stay with their units where lines are broken.
std::string unbroken_html(const std::string& text) {
  std::string out;
  const std::string escaped = escaped_html(text);
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    const char before = i > 0 ? escaped[i - 1] : ' ';
    const char after = i + 1 < escaped.size() ? escaped[i + 1] : ' ';
    const bool bound = (before >= '0' && before <= '9') || before == '=' || after == '=';
    out += escaped[i] == ' ' && bound ? "&nbsp;" : std::string(1, escaped[i]);
  }
  return out;
}

// A mark is a colour to the eye and a word to the ear.
std::string marked_html(const Cell& cell, Mark mark) {
  const std::string text = escaped_html(cell.text);
  if (mark == Mark::winner) {
    return "<b class=\"mark winner\">" + text + "<span class=\"unseen\"> (best)</span></b>";
  }
  if (mark == Mark::best_here) {
    return "<b class=\"mark best-here\">" + text + "<span class=\"unseen\"> (best measured here)</span></b>";
  }
  return cell.strong ? "<b>" + text + "</b>" : text;
}

// A place for the sign in every cell of a column that has any.
std::string sign_html(const Cell& cell, bool signs) {
  if (cell.difference == Difference::none) {
    return signs ? "<span class=\"real\"></span>" : "";
  }
  const char* spoken = cell.difference == Difference::below ? " (really below ours)" : " (really above ours)";
  return "<span class=\"real\" aria-hidden=\"true\">" + sign_of(cell) + "</span><span class=\"unseen\">" + spoken +
         "</span>";
}

// In a column with small print every cell has a place for it, so that numbers stand below each other.
std::string row_html(const Row& row, const std::vector<Mark>& marks, const std::vector<bool>& small_print,
                     const std::vector<bool>& signs) {
  std::string out = row.pale ? "<tr class=\"pale\">" : "<tr>";
  out += "<th scope=\"row\">" + unbroken_html(row.label) + "</th>";
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    out += "<td>" + marked_html(row.cells[i], marks[i]) + sign_html(row.cells[i], signs[i]);
    out += small_print[i] ? " <small>" + escaped_html(row.cells[i].small) + "</small></td>" : "</td>";
  }
  return out + "</tr>\n";
}

// Whether a column has any cell that `holds`.
template <class Holds>
std::vector<bool> columns_with_any(const Table& table, Holds holds) {
  std::vector<bool> out(table.heads.size(), false);
  for (const Row& row : table.rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      out.at(i) = out.at(i) || holds(row.cells[i]);
    }
  }
  return out;
}

std::string head_html(const Table& table, const std::vector<bool>& small_print) {
  constexpr std::size_t kShort = 6;
  std::string out = "<thead><tr><th scope=\"col\">" + escaped_html(table.label_head) + "</th>";
  for (std::size_t i = 0; i < table.heads.size(); ++i) {
    // A short heading stands above the numbers, a long one above the small print as well.
    const bool above_numbers = small_print[i] && table.heads[i].size() <= kShort;
    out += "<th scope=\"col\">" + unbroken_html(table.heads[i]) + (above_numbers ? " <small></small>" : "") + "</th>";
  }
  return out + "</tr></thead>\n";
}

}  // namespace

std::string table_html(const Table& table, const std::string& id, bool winners) {
  const std::vector<bool> small_print = columns_with_any(table, [](const Cell& c) { return !c.small.empty(); });
  const std::vector<bool> signs = columns_with_any(table, [](const Cell& c) { return !sign_of(c).empty(); });
  const std::vector<std::vector<Mark>> marks = marks_of(table, winners);
  std::string out = "<h3 id=\"" + id + "\">" + unbroken_html(table.title) +
                    "</h3>\n<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-labelledby=\"" + id +
                    "\"><table aria-labelledby=\"" + id + "\">\n" + head_html(table, small_print);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    if (i == 0 || row.group != table.rows[i - 1].group) {
      out += i == 0 ? "<tbody>\n" : "</tbody><tbody>\n";
      if (!row.group.empty()) {
        out += str("<tr class=\"group\"><th colspan=\"", table.heads.size() + 1, "\" scope=\"rowgroup\"><span>",
                   unbroken_html(row.group), "</span></th></tr>\n");
      }
    }
    out += row_html(row, marks[i], small_print, signs);
  }
  out += table.rows.empty() ? "</table></div>\n" : "</tbody></table></div>\n";
  for (const std::string& note : table.notes) {
    out += "<p class=\"note\">" + escaped_html(note) + "</p>\n";
  }
  return out;
}

}  // namespace earmark::experiments
