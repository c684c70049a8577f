#include "experiments/table.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

// Characters, not bytes: what a terminal shows.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string spaces(std::size_t width, std::size_t used) { return std::string(width - std::min(width, used), ' '); }

// One column of cells as Markdown. Numbers are right-aligned, and what is not emphasised is set where it would be: a
// terminal shows a straight column, and Markdown ignores the spaces.
std::vector<std::string> column_texts(const Table& table, std::size_t column) {
  std::size_t width = 0;
  bool any_strong = false;
  for (const Row& row : table.rows) {
    if (column < row.cells.size()) {
      width = std::max(width, width_of(row.cells[column].text));
      any_strong = any_strong || row.cells[column].strong;
    }
  }
  std::vector<std::string> out;
  for (const Row& row : table.rows) {
    const Cell cell = column < row.cells.size() ? row.cells[column] : Cell{};
    const std::string mark = cell.strong ? "**" : any_strong ? "  " : "";
    std::string text = spaces(width, width_of(cell.text)).append(mark).append(cell.text).append(mark);
    if (!cell.small.empty()) {
      text.append(" ").append(cell.small);
    }
    out.push_back(text.substr(0, text.find_last_not_of(' ') + 1));
  }
  return out;
}

// Header and rows, column by column.
std::vector<std::vector<std::string>> columns_of(const Table& table) {
  std::vector<std::vector<std::string>> out;
  const auto add = [&](const std::string& head, std::vector<std::string> texts) {
    texts.insert(texts.begin(), head);
    out.push_back(std::move(texts));
  };
  std::vector<std::string> groups;
  std::vector<std::string> labels;
  for (const Row& row : table.rows) {
    groups.push_back(row.group);
    labels.push_back(row.label);
  }
  if (!table.group_head.empty()) {
    add(table.group_head, groups);
  }
  add(table.label_head, labels);
  for (std::size_t i = 0; i < table.heads.size(); ++i) {
    add(table.heads[i], column_texts(table, i));
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

// In a column with small print every cell has a place for it, so that numbers stand below each other.
std::string html_cell(const Cell& cell, bool small_print) {
  std::string text = escaped_html(cell.text);
  if (cell.strong) {
    text.insert(0, "<b>").append("</b>");
  }
  if (small_print) {
    text.append(" <small>").append(escaped_html(cell.small)).append("</small>");
  }
  return "<td>" + text + "</td>";
}

std::string html_row(const Row& row, const std::vector<bool>& small_print) {
  std::string out = row.pale ? "<tr class=\"pale\">" : "<tr>";
  out.append("<th scope=\"row\">").append(unbroken_html(row.label)).append("</th>");
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    out.append(html_cell(row.cells[i], small_print[i]));
  }
  return out + "</tr>\n";
}

// Whether any cell of a column has small print.
std::vector<bool> small_print_of(const Table& table) {
  std::vector<bool> out(table.heads.size(), false);
  for (const Row& row : table.rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      out.at(i) = out.at(i) || !row.cells[i].small.empty();
    }
  }
  return out;
}

}  // namespace

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string escaped_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  }
  return out;
}

std::string to_markdown(const Table& table) {
  const std::vector<std::vector<std::string>> columns = columns_of(table);
  std::string out = "### " + table.title + "\n\n";
  for (std::size_t line = 0; line <= table.rows.size(); ++line) {
    std::string rule = "|";
    out += '|';
    for (const std::vector<std::string>& column : columns) {
      std::size_t width = 3;
      for (const std::string& text : column) {
        width = std::max(width, width_of(text));
      }
      out += ' ' + column[line] + spaces(width, width_of(column[line])) + " |";
      rule += std::string(width + 2, '-') + '|';
    }
    out += '\n' + (line == 0 ? rule + '\n' : "");
  }
  for (const std::string& note : table.notes) {
    out += '\n' + note + '\n';
  }
  return out;
}

std::string to_html(const Table& table) {
  std::string out = "<h3>" + unbroken_html(table.title) + "</h3>\n<div class=\"wide\"><table>\n<thead><tr><th>" +
                    escaped_html(table.label_head) + "</th>";
  const std::vector<bool> small_print = small_print_of(table);
  for (std::size_t i = 0; i < table.heads.size(); ++i) {
    // A short heading stands above the numbers, a long one above the small print as well.
    const bool above_numbers = small_print[i] && width_of(table.heads[i]) <= 6;
    out += "<th scope=\"col\">" + unbroken_html(table.heads[i]) + (above_numbers ? " <small></small>" : "") + "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  std::string group;
  for (const Row& row : table.rows) {
    if (row.group != group) {
      group = row.group;
      out += str("<tr class=\"group\"><th colspan=\"", table.heads.size() + 1, "\" scope=\"rowgroup\"><span>",
                 unbroken_html(group), "</span></th></tr>\n");
    }
    out += html_row(row, small_print);
  }
  out += "</tbody></table></div>\n";
  for (const std::string& note : table.notes) {
    out += "<p class=\"note\">" + escaped_html(note) + "</p>\n";
  }
  return out;
}

}  // namespace earmark::experiments
