#include "train/config.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>

#include "kernels/error.h"
#include "train/config_tree.h"

namespace earmark::train {

namespace fs = std::filesystem;

namespace {

template <class T>
std::string number_text(T value) {
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

/// The whole scalar as a number: decimal, no blanks, nothing behind it.
template <class T>
std::optional<T> parse_number(const YAML::Node& node) {
  if (!node.IsScalar()) {
    return std::nullopt;
  }
  const std::string& text = node.Scalar();
  T value{};
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const auto result = std::from_chars(begin, text.data() + text.size(), value);
  const bool whole = result.ec == std::errc() && result.ptr == text.data() + text.size();
  return whole ? std::optional<T>(value) : std::nullopt;
}

std::string describe(const YAML::Node& node) {
  if (node.IsNull()) {
    return "nothing";
  }
  if (node.IsScalar()) {
    return '"' + node.Scalar() + '"';
  }
  return node.IsSequence() ? str("a list of ", node.size()) : "a section";
}

std::string number_expectation(std::string_view kind, Range range, std::string_view unit) {
  std::string out(kind);
  const bool low = range.low > -std::numeric_limits<double>::infinity();
  const bool high = range.high < std::numeric_limits<double>::infinity();
  out += low ? str(" from ", range.low) : "";
  out += low && high ? str(" to ", range.high) : high ? str(" up to ", range.high) : "";
  return unit.empty() ? out : out + str(" (", unit, ")");
}

bool within(Range range, double value) { return value >= range.low && value <= range.high; }

template <class T, class Render>
std::string list_text(const std::vector<T>& values, Render render) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    out += (i == 0 ? "" : ", ") + render(values[i]);
  }
  return out + "]";
}

std::string string_list(const std::vector<std::string>& values) { return list_text(values, yaml_quoted); }

/// A list's elements; one value stands for a list of one.
std::vector<YAML::Node> elements(const YAML::Node& node) {
  if (!node.IsSequence()) {
    return {node};
  }
  std::vector<YAML::Node> out;
  for (const YAML::Node& element : node) {
    out.push_back(element);
  }
  return out;
}

}  // namespace

/// One key being read: finds its node, complains in one form, and declares it at the end.
class KeyReader {
 public:
  KeyReader(ConfigTree& tree, const std::string& section, std::string_view key, std::string expected,
            std::string_view doc)
      : tree_(tree), entry_{section + "." + std::string(key), std::move(expected), "", "", std::string(doc)} {
    node_ = tree_.find(entry_.path);
  }

  bool present() const { return static_cast<bool>(node_); }
  const YAML::Node& node() const { return node_; }
  const std::string& path() const { return entry_.path; }
  [[noreturn]] void complain() const { complain(node_); }
  [[noreturn]] void complain(const YAML::Node& got) const {
    fail(tree_.place(entry_.path), ": expected ", entry_.expected, ", got ", describe(got));
  }
  /// The declaration, once the value is known.
  void done(std::string default_value, std::string value) {
    entry_.default_value = std::move(default_value);
    entry_.value = std::move(value);
    tree_.declare(std::move(entry_));
  }

 private:
  ConfigTree& tree_;
  ConfigEntry entry_;
  YAML::Node node_;
};

namespace {

template <class T>
void read_number(KeyReader reader, T& value, Range range) {
  const std::string before = number_text(value);
  if (reader.present()) {
    const std::optional<T> read = parse_number<T>(reader.node());
    if (!read || !within(range, static_cast<double>(*read))) {
      reader.complain();
    }
    value = *read;
  }
  reader.done(before, number_text(value));
}

std::vector<double> number_list(const KeyReader& reader, Range range) {
  std::vector<double> read;
  for (const YAML::Node& element : elements(reader.node())) {
    const std::optional<double> number = parse_number<double>(element);
    if (!number || !within(range, *number)) {
      reader.complain(element);
    }
    read.push_back(*number);
  }
  return read;
}

std::vector<std::string> text_list(const KeyReader& reader) {
  std::vector<std::string> read;
  for (const YAML::Node& element : elements(reader.node())) {
    if (!element.IsScalar()) {
      reader.complain(element);
    }
    read.push_back(element.Scalar());
  }
  return read;
}

}  // namespace

void Section::read(std::string_view key, bool& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "true or false", doc);
  const std::string before = value ? "true" : "false";
  if (reader.present()) {
    const std::string text = reader.node().IsScalar() ? reader.node().Scalar() : "";
    if (text != "true" && text != "false") {
      reader.complain();
    }
    value = text == "true";
  }
  reader.done(before, value ? "true" : "false");
}

void Section::read(std::string_view key, int& value, Range range, std::string_view unit, std::string_view doc) {
  read_number(KeyReader(*tree_, path_, key, number_expectation("a whole number", range, unit), doc), value, range);
}

void Section::read(std::string_view key, std::int64_t& value, Range range, std::string_view unit,
                   std::string_view doc) {
  read_number(KeyReader(*tree_, path_, key, number_expectation("a whole number", range, unit), doc), value, range);
}

void Section::read(std::string_view key, std::uint64_t& value, Range range, std::string_view unit,
                   std::string_view doc) {
  read_number(KeyReader(*tree_, path_, key, number_expectation("a whole number", range, unit), doc), value, range);
}

void Section::read(std::string_view key, double& value, Range range, std::string_view unit, std::string_view doc) {
  read_number(KeyReader(*tree_, path_, key, number_expectation("a number", range, unit), doc), value, range);
}

void Section::read(std::string_view key, std::string& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "text", doc);
  const std::string before = yaml_quoted(value);
  if (reader.present()) {
    if (!reader.node().IsScalar()) {
      reader.complain();
    }
    value = reader.node().Scalar();
  }
  reader.done(before, yaml_quoted(value));
}

void Section::read(std::string_view key, std::vector<std::string>& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "a list of texts", doc);
  const std::string before = string_list(value);
  if (reader.present()) {
    value = text_list(reader);
  }
  reader.done(before, string_list(value));
}

void Section::read(std::string_view key, std::vector<double>& value, Range range, std::string_view unit,
                   std::string_view doc) {
  KeyReader reader(*tree_, path_, key, number_expectation("a list of numbers", range, unit), doc);
  const std::string before = list_text(value, number_text<double>);
  if (reader.present()) {
    value = number_list(reader, range);
  }
  reader.done(before, list_text(value, number_text<double>));
}

void Section::read_interval(std::string_view key, double& low, double& high, Range range, std::string_view unit,
                            std::string_view doc) {
  KeyReader reader(*tree_, path_, key, number_expectation("a list [low, high] of numbers", range, unit), doc);
  const auto text = [&] { return list_text(std::vector<double>{low, high}, number_text<double>); };
  const std::string before = text();
  if (reader.present()) {
    const std::vector<double> read = number_list(reader, range);
    if (!reader.node().IsSequence() || read.size() != 2 || read[0] > read[1]) {
      reader.complain();
    }
    low = read[0];
    high = read[1];
  }
  reader.done(before, text());
}

void Section::read_path(std::string_view key, fs::path& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "a path", doc);
  const std::string before = yaml_quoted(value.string());
  if (reader.present()) {
    if (!reader.node().IsScalar()) {
      reader.complain();
    }
    const fs::path named = reader.node().Scalar();
    value = named.empty() ? named : (tree_->folder_for(reader.path()) / named).lexically_normal();
  }
  reader.done(before, yaml_quoted(value.string()));
}

void Section::read_paths(std::string_view key, std::vector<fs::path>& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "a list of paths", doc);
  const auto text = [&] { return list_text(value, [](const fs::path& path) { return yaml_quoted(path.string()); }); };
  const std::string before = text();
  if (reader.present()) {
    value.clear();
    for (const std::string& named : text_list(reader)) {
      value.push_back((tree_->folder_for(reader.path()) / named).lexically_normal());
    }
  }
  reader.done(before, text());
}

std::optional<NamedPath> parse_named_path(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return std::nullopt;
  }
  return NamedPath{std::string(text.substr(0, equals)), fs::path(text.substr(equals + 1))};
}

void Section::read_named_paths(std::string_view key, std::vector<NamedPath>& value, std::string_view doc) {
  KeyReader reader(*tree_, path_, key, "a list of NAME=PATH", doc);
  const auto text = [&] {
    return list_text(value, [](const NamedPath& file) { return yaml_quoted(file.name + '=' + file.path.string()); });
  };
  const std::string before = text();
  if (reader.present()) {
    value.clear();
    for (const std::string& named : text_list(reader)) {
      const std::optional<NamedPath> file = parse_named_path(named);
      if (!file) {
        reader.complain();
      }
      value.push_back({file->name, (tree_->folder_for(reader.path()) / file->path).lexically_normal()});
    }
  }
  reader.done(before, text());
}

std::size_t Section::read_name(std::string_view key, std::size_t value, const std::vector<std::string>& names,
                               std::string_view doc) {
  const auto shown = [](const std::string& name) { return name.empty() ? yaml_quoted(name) : name; };
  std::string expected = "one of";
  for (const std::string& name : names) {
    expected += (&name == &names.front() ? " " : ", ") + shown(name);
  }
  KeyReader reader(*tree_, path_, key, expected, doc);
  const std::size_t before = value;
  if (reader.present()) {
    if (!reader.node().IsScalar()) {
      reader.complain();
    }
    const auto found = std::find(names.begin(), names.end(), reader.node().Scalar());
    if (found == names.end()) {
      reader.complain();
    }
    value = static_cast<std::size_t>(found - names.begin());
  }
  reader.done(shown(names[before]), shown(names[value]));
  return value;
}

Section Section::section(std::string_view name) {
  const std::string path = path_ + "." + std::string(name);
  tree_->declare_section(path);
  return {tree_, path};
}

bool Section::has(std::string_view key) const { return static_cast<bool>(tree_->find(path_ + "." + std::string(key))); }

void Section::reject(std::string_view key, const std::string& message) const {
  fail(tree_->place(path_ + "." + std::string(key)), ": ", message);
}

Config Config::load(const fs::path& file, const std::vector<std::string>& overrides) {
  std::ifstream in(file, std::ios::binary);
  check(in.good() && fs::is_regular_file(file), file.string(), ": cannot be read as a configuration");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  auto tree = std::make_shared<ConfigTree>(text, file.string(), fs::absolute(file).parent_path());
  for (const std::string& assignment : overrides) {
    tree->apply_override(assignment);
  }
  return Config(std::move(tree));
}

Config Config::parse(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  auto tree = std::make_shared<ConfigTree>(text, name, fs::current_path());
  for (const std::string& assignment : overrides) {
    tree->apply_override(assignment);
  }
  return Config(std::move(tree));
}

Section Config::section(std::string_view name) {
  tree_->declare_section(std::string(name));
  return {tree_, std::string(name)};
}

void Config::skip(std::string_view section) { tree_->skip(std::string(section)); }
void Config::finish() const { tree_->finish(); }
std::string Config::resolved() const { return tree_->resolved(); }
std::string Config::help() const { return tree_->help(); }

}  // namespace earmark::train
