// What stands behind Config: the YAML tree, which overrides changed it, and everything declared about it so far.
// Private to train/config*.cpp.
#pragma once

#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace earmark::train {

/// One declared key.
struct ConfigEntry {
  std::string path;           ///< "train.steps"
  std::string expected;       ///< "a whole number from 1 to 1e+09 (steps)"
  std::string default_value;  ///< As YAML.
  std::string value;          ///< As YAML.
  std::string doc;
};

class ConfigTree {
 public:
  /// `text` is YAML; `name` stands for it in errors; relative paths start at `folder`.
  ConfigTree(const std::string& text, std::string name, std::filesystem::path folder);

  void apply_override(const std::string& assignment);
  void declare_section(const std::string& path);
  void declare(ConfigEntry entry);
  void skip(const std::string& section) { skipped_.insert(section); }

  /// The node at a dotted path; undefined (false) where there is none.
  YAML::Node find(const std::string& path) const;
  /// "configs/demo.yaml:12: train.steps", or "--set train.steps=x".
  std::string place(const std::string& path) const;
  /// Relative paths start at the configuration's folder, or the working folder where an override named them.
  std::filesystem::path folder_for(const std::string& path) const;

  void finish() const;
  std::string resolved() const;
  std::string help() const;

 private:
  void check_no_duplicates(const YAML::Node& node, const std::string& path) const;
  void check_known(const YAML::Node& node, const std::string& path) const;
  const std::string* override_of(const std::string& path) const;
  std::string nearest(const std::string& path) const;
  void write_section(std::string& out, const std::string& prefix, int depth) const;

  std::string name_;
  std::filesystem::path folder_;
  YAML::Node root_;
  std::map<std::string, std::string> overrides_;  ///< Path to the assignment as typed.
  std::vector<ConfigEntry> entries_;
  std::vector<std::string> order_;  ///< Paths of entries and sections in order of declaration.
  std::set<std::string> sections_;
  std::set<std::string> skipped_;
};

/// A YAML double-quoted scalar.
std::string yaml_quoted(const std::string& text);

}  // namespace earmark::train
