#include "train/config_tree.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>

#include "kernels/error.h"

namespace earmark::train {

namespace fs = std::filesystem;

namespace {

std::string join(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

std::string leaf_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> keys;
  std::size_t begin = 0;
  for (std::size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', begin)) {
    keys.push_back(path.substr(begin, dot - begin));
    begin = dot + 1;
  }
  keys.push_back(path.substr(begin));
  return keys;
}

/// Levenshtein's: insertions, deletions and substitutions that turn one text into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

YAML::Node load_yaml(const std::string& text, const std::string& name) {
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    fail(name, ":", error.mark.line + 1, ": not valid YAML: ", error.msg);
  }
}

/// Follows `keys` from `node`; undefined where the way ends.
YAML::Node follow(YAML::Node node, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (!node.IsMap()) {
      return YAML::Node(YAML::NodeType::Undefined);
    }
    const YAML::Node& fixed = node;  // Looking up in a mutable node would create the key.
    const YAML::Node next = fixed[key];
    if (!next) {
      return YAML::Node(YAML::NodeType::Undefined);
    }
    node.reset(next);
  }
  return node;
}

}  // namespace

std::string yaml_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += "\\x";
      out += kDigits[static_cast<unsigned char>(c) >> 4U];
      out += kDigits[static_cast<unsigned char>(c) & 15U];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

ConfigTree::ConfigTree(const std::string& text, std::string name, fs::path folder)
    : name_(std::move(name)), folder_(std::move(folder)), root_(load_yaml(text, name_)) {
  if (root_.IsNull()) {
    root_ = YAML::Node(YAML::NodeType::Map);
  }
  check(root_.IsMap(), name_, ": expected a mapping (key: value) at the top");
  check_no_duplicates(root_, "");
}

void ConfigTree::check_no_duplicates(const YAML::Node& node, const std::string& path) const {
  std::set<std::string> seen;
  for (const auto& pair : node) {
    check(pair.first.IsScalar(), name_, ":", pair.first.Mark().line + 1, ": keys must be plain names");
    const std::string key = join(path, pair.first.Scalar());
    check(seen.insert(key).second, name_, ":", pair.first.Mark().line + 1, ": key ", key, " is given twice");
    if (pair.second.IsMap()) {
      check_no_duplicates(pair.second, key);
    }
  }
}

void ConfigTree::apply_override(const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  check(equals != std::string::npos && equals > 0, "--set ", assignment, ": expected key=value");
  const std::string path = assignment.substr(0, equals);
  const YAML::Node value = load_yaml(assignment.substr(equals + 1), "--set " + assignment);
  const std::vector<std::string> keys = split_path(path);
  YAML::Node node = root_;
  for (std::size_t i = 0; i + 1 < keys.size(); ++i) {
    YAML::Node next = node[keys[i]];
    if (!next || next.IsNull()) {
      next = YAML::Node(YAML::NodeType::Map);
    }
    check(next.IsMap(), "--set ", assignment, ": ", keys[i], " is a value, not a section");
    node.reset(next);
  }
  node[keys.back()] = value;
  overrides_[path] = assignment;
}

void ConfigTree::declare_section(const std::string& path) {
  if (sections_.insert(path).second) {
    order_.push_back(path);
  }
  const YAML::Node node = find(path);
  check(!node || node.IsNull() || node.IsMap(), place(path), ": expected a section (a mapping), got a value");
}

void ConfigTree::declare(ConfigEntry entry) {
  const auto same = [&](const ConfigEntry& other) { return other.path == entry.path; };
  check(std::none_of(entries_.begin(), entries_.end(), same), "configuration key ", entry.path, " is declared twice");
  order_.push_back(entry.path);
  entries_.push_back(std::move(entry));
}

YAML::Node ConfigTree::find(const std::string& path) const { return follow(root_, split_path(path)); }

const std::string* ConfigTree::override_of(const std::string& path) const {
  for (std::string part = path; !part.empty();
       part.resize(part.rfind('.') == std::string::npos ? 0 : part.rfind('.'))) {
    const auto found = overrides_.find(part);
    if (found != overrides_.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

std::string ConfigTree::place(const std::string& path) const {
  if (const std::string* assignment = override_of(path)) {
    return "--set " + *assignment;
  }
  const std::size_t dot = path.rfind('.');
  const YAML::Node parent = dot == std::string::npos ? root_ : find(path.substr(0, dot));
  if (parent.IsDefined() && parent.IsMap()) {
    for (const auto& pair : parent) {
      if (pair.first.Scalar() == leaf_of(path)) {
        return str(name_, ":", pair.first.Mark().line + 1, ": ", path);
      }
    }
  }
  return str(name_, ": ", path);
}

fs::path ConfigTree::folder_for(const std::string& path) const {
  return override_of(path) ? fs::current_path() : folder_;
}

void ConfigTree::finish() const { check_known(root_, ""); }

void ConfigTree::check_known(const YAML::Node& node, const std::string& path) const {
  for (const auto& pair : node) {
    const std::string key = join(path, pair.first.Scalar());
    if (path.empty() && skipped_.count(key) == 1) {
      continue;
    }
    if (sections_.count(key) == 1) {
      check_known(pair.second, key);
      continue;
    }
    const bool known =
        std::any_of(entries_.begin(), entries_.end(), [&](const ConfigEntry& entry) { return entry.path == key; });
    if (!known) {
      const std::string* assignment = override_of(key);
      const std::string where =
          assignment ? "--set " + *assignment : str(name_, ":", pair.first.Mark().line + 1, ": ", key);
      fail(where, ": unknown key", nearest(key));
    }
  }
}

/// The declared key or section that looks most like `path`, or whose last word does, as the end of a sentence.
std::string ConfigTree::nearest(const std::string& path) const {
  std::string best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  for (const std::string& candidate : order_) {
    const std::size_t whole = edit_distance(path, candidate);
    const std::size_t leaf = edit_distance(leaf_of(path), leaf_of(candidate)) + 1;
    if (std::min(whole, leaf) < best_distance) {
      best_distance = std::min(whole, leaf);
      best = candidate;
    }
  }
  return best.empty() ? std::string() : "; the nearest known key is " + best;
}

void ConfigTree::write_section(std::string& out, const std::string& prefix, int depth) const {
  const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
  for (const std::string& path : order_) {
    const bool inside = path.size() > prefix.size() && path.compare(0, prefix.size(), prefix) == 0 &&
                        path.find('.', prefix.size()) == std::string::npos;
    if (!inside) {
      continue;
    }
    if (sections_.count(path) == 1) {
      out += indent + leaf_of(path) + ":\n";
      write_section(out, path + ".", depth + 1);
      continue;
    }
    for (const ConfigEntry& entry : entries_) {
      if (entry.path == path) {
        out += indent + leaf_of(path) + ": " + entry.value + "\n";
      }
    }
  }
}

std::string ConfigTree::resolved() const {
  std::string out;
  write_section(out, "", 0);
  for (const std::string& section : skipped_) {
    if (const YAML::Node node = find(section)) {
      YAML::Node alone;
      alone[section] = node;
      out += YAML::Dump(alone) + "\n";
    }
  }
  return out;
}

std::string ConfigTree::help() const {
  std::string out;
  for (const ConfigEntry& entry : entries_) {
    out += entry.path + ": " + entry.default_value + "\n    " + entry.expected + ". " + entry.doc + "\n";
  }
  return out;
}

}  // namespace earmark::train
