// Errors: one exception type for everything a caller can get wrong, thrown by check() with a message that
// names what was expected and what came. Libraries throw; only mains print and choose an exit code.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace earmark {

/// Source position of the check that failed; kept for bug reports, not part of the message.
struct Place {
  const char* file;
  int line;
};

/// Bad input, a damaged file, a shape that does not fit: what() is a sentence for the user.
class Error : public std::runtime_error {
 public:
  Error(Place where, const std::string& message) : std::runtime_error(message), where_(where) {}
  Place where() const { return where_; }

 private:
  Place where_;
};

/// A condition plus the place that wrote it; built implicitly from a bool.
struct Condition {
  bool holds;
  Place where;
  // NOLINTNEXTLINE(google-explicit-constructor): implicit, so that check(a == b, ...) records its caller.
  Condition(bool ok, const char* file = __builtin_FILE(), int line = __builtin_LINE()) : holds(ok), where{file, line} {}
};

/// Joins its arguments into one string with operator<<.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

[[noreturn]] void throw_error(Place where, const std::string& message);

/// Throws Error unless `condition` holds. The message is only built on failure.
template <class... Parts>
void check(Condition condition, const Parts&... message) {
  if (!condition.holds) [[unlikely]] {
    throw_error(condition.where, str(message...));
  }
}

/// Throws Error with the joined parts: `fail(path, ": expected ..., got ...")`.
template <class... Parts>
[[noreturn]] void fail(const Parts&... message) {
  throw_error({"", 0}, str(message...));
}

}  // namespace earmark
