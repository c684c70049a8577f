// Writing and strictly reading an options struct as one flat JSON object: a struct lists its fields once, in a function
// that takes either of these.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace earmark::nn {

class JsonWriter {
 public:
  template <class T>
  void value(const std::string& key, const T& field) {
    object_[key] = field;
  }
  template <class E>
  void choice(const std::string& key, const E& field, const std::vector<std::pair<std::string, E>>& names) {
    for (const auto& [name, named] : names) {
      if (named == field) {
        object_[key] = name;
      }
    }
  }
  /// As later_choice.
  template <class T>
  void later_value(const std::string& key, const T& field, const T& before) {
    if (field != before) {
      value(key, field);
    }
  }
  /// A choice that models did not always have: left out where it is what all had before, so that those keep their text,
  /// and their hash.
  template <class E>
  void later_choice(const std::string& key, const E& field, const E& before,
                    const std::vector<std::pair<std::string, E>>& names) {
    if (field != before) {
      choice(key, field, names);
    }
  }
  std::string text() const { return object_.dump(); }

 private:
  nlohmann::ordered_json object_ = nlohmann::ordered_json::object();
};

/// Absent keys leave their field alone. Everything else that is off throws Error naming `what` and the key.
class JsonReader {
 public:
  JsonReader(const std::string& text, std::string what) : what_(std::move(what)) {
    object_ = nlohmann::json::parse(text, nullptr, false);
    check(object_.is_object(), what_, ": expected a JSON object, got \"", text.substr(0, 40), "\"");
  }

  template <class T>
  void value(const std::string& key, T& field) {
    if (const nlohmann::json* found = find(key)) {
      try {
        const T read = found->get<T>();
        check(same_kind(*found, nlohmann::json(read)), what_, ": ", key, " has the wrong type: ", found->dump());
        field = read;
      } catch (const nlohmann::json::exception&) {
        fail(what_, ": ", key, " has the wrong type: ", found->dump());
      }
    }
  }
  template <class E>
  void choice(const std::string& key, E& field, const std::vector<std::pair<std::string, E>>& names) {
    const nlohmann::json* found = find(key);
    if (!found) {
      return;
    }
    for (const auto& [name, named] : names) {
      if (*found == name) {
        field = named;
        return;
      }
    }
    fail(what_, ": ", key, " has a value that is not known: ", found->dump());
  }
  template <class T>
  void later_value(const std::string& key, T& field, const T& before) {
    field = before;
    value(key, field);
  }
  template <class E>
  void later_choice(const std::string& key, E& field, const E& before,
                    const std::vector<std::pair<std::string, E>>& names) {
    field = before;
    choice(key, field, names);
  }
  /// Throws Error on the first key that nothing has read.
  void finish() const {
    for (const auto& [key, value] : object_.items()) {
      check(known_.count(key) == 1, what_, ": unknown key \"", key, "\" (written by a newer version?)");
    }
  }

 private:
  const nlohmann::json* find(const std::string& key) {
    known_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  /// An integer may stand for a floating-point number; nothing else converts.
  static bool same_kind(const nlohmann::json& found, const nlohmann::json& read) {
    return read.is_number_float() ? found.is_number()
           : read.is_number()     ? found.is_number_integer() && found == read
                                  : found.type() == read.type();
  }

  nlohmann::json object_;
  std::string what_;
  std::set<std::string> known_;
};

}  // namespace earmark::nn
