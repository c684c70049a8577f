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
  bool any_sign = false;
  for (const Row& row : table.rows) {
    if (column < row.cells.size()) {
      width = std::max(width, width_of(row.cells[column].text));
      any_strong = any_strong || row.cells[column].strong;
      any_sign = any_sign || row.cells[column].difference != Difference::none;
    }
  }
  std::vector<std::string> out;
  for (const Row& row : table.rows) {
    const Cell cell = column < row.cells.size() ? row.cells[column] : Cell{};
    const std::string mark = cell.strong ? "**" : any_strong ? "  " : "";
    std::string text = spaces(width, width_of(cell.text)).append(mark).append(cell.text).append(mark);
    const std::string sign = sign_of(cell);
    text.append(any_sign && sign.empty() ? " " : sign);
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

}  // namespace

std::string sign_of(const Cell& cell) {
  return cell.difference == Difference::none ? "" : cell.difference == Difference::below ? kBelowSign : kAboveSign;
}

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

}  // namespace earmark::experiments
