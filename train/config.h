// Strict configuration from YAML. A field is declared once, where it is read: key, default (the value it has), range
// and meaning. From these declarations come the errors (unknown key, wrong type, out of range: with file, line, key and
// the nearest known key), the resolved configuration and the list of all keys.
//
//   Config config = Config::load("demo.yaml", {"train.steps=100"});
//   Section train = config.section("train");
//   train.read("steps", options.steps, {1, 1e9}, "steps", "Optimiser steps.");
//   config.finish();   // throws if a key was never read
//
// Other programs' sections are passed over: config.skip("reproduce").
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace earmark::train {

/// Closed range of a number.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// A file that is called so.
struct NamedPath {
  std::string name;
  std::filesystem::path path;
};
/// Of "NAME=PATH"; nothing where either is missing.
std::optional<NamedPath> parse_named_path(std::string_view text);

class ConfigTree;

/// One mapping of the file: "data", "data.rooms". Cheap handle; the Config must outlive it.
class Section {
 public:
  /// Each read keeps `value` where the key is absent. `unit` ("ms", "steps", "" for none) and `doc` appear in help.
  /// Throws Error as described above.
  void read(std::string_view key, bool& value, std::string_view doc);
  void read(std::string_view key, int& value, Range range, std::string_view unit, std::string_view doc);
  void read(std::string_view key, std::int64_t& value, Range range, std::string_view unit, std::string_view doc);
  void read(std::string_view key, std::uint64_t& value, Range range, std::string_view unit, std::string_view doc);
  void read(std::string_view key, double& value, Range range, std::string_view unit, std::string_view doc);
  void read(std::string_view key, std::string& value, std::string_view doc);
  /// A list; a single value is a list of one.
  void read(std::string_view key, std::vector<std::string>& value, std::string_view doc);
  void read(std::string_view key, std::vector<double>& value, Range range, std::string_view unit, std::string_view doc);
  /// Two numbers, low and high: `snr_db: [0, 20]`; low > high is an error.
  void read_interval(std::string_view key, double& low, double& high, Range range, std::string_view unit,
                     std::string_view doc);
  /// Paths relative to the file that names them (to the working folder in an override).
  void read_path(std::string_view key, std::filesystem::path& value, std::string_view doc);
  void read_paths(std::string_view key, std::vector<std::filesystem::path>& value, std::string_view doc);
  /// Paths with names, "NAME=PATH" each.
  void read_named_paths(std::string_view key, std::vector<NamedPath>& value, std::string_view doc);
  /// One of the named values.
  template <class E>
  void read_choice(std::string_view key, E& value, const std::vector<std::pair<std::string, E>>& choices,
                   std::string_view doc);
  /// A mapping inside this one.
  Section section(std::string_view name);
  /// Whether the file or an override sets this key.
  bool has(std::string_view key) const;
  /// Throws Error with the place of `key` in front: for checks across keys.
  [[noreturn]] void reject(std::string_view key, const std::string& message) const;

 private:
  friend class Config;
  Section(std::shared_ptr<ConfigTree> tree, std::string path) : tree_(std::move(tree)), path_(std::move(path)) {}
  std::size_t read_name(std::string_view key, std::size_t value, const std::vector<std::string>& names,
                        std::string_view doc);

  std::shared_ptr<ConfigTree> tree_;
  std::string path_;
};

class Config {
 public:
  /// Reads `file` and applies overrides "a.b=value" (value is YAML) in order. Throws Error on a missing or malformed
  /// file, a key given twice, or a malformed override.
  static Config load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
  /// The same from text; `name` stands for the file in errors.
  static Config parse(const std::string& text, const std::string& name, const std::vector<std::string>& overrides = {});

  Section section(std::string_view name);
  /// Leaves a top-level section to the program that reads it.
  void skip(std::string_view section);
  /// Throws Error for the first key that nothing has read, with the nearest key that exists.
  void finish() const;
  /// Every key read so far with its value, as YAML that load() takes (paths absolute); skipped sections as they are.
  std::string resolved() const;
  /// Every key read so far: name, type, range, default, meaning.
  std::string help() const;

 private:
  explicit Config(std::shared_ptr<ConfigTree> tree) : tree_(std::move(tree)) {}
  std::shared_ptr<ConfigTree> tree_;
};

template <class E>
void Section::read_choice(std::string_view key, E& value, const std::vector<std::pair<std::string, E>>& choices,
                          std::string_view doc) {
  std::vector<std::string> names;
  std::size_t current = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    names.push_back(choices[i].first);
    current = choices[i].second == value ? i : current;
  }
  value = choices[read_name(key, current, names, doc)].second;
}

}  // namespace earmark::train
