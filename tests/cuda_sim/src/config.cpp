#include "config.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "streams.h"

namespace cudasim {
namespace {

[[noreturn]] void refuse(const char* variable, const char* expected, const char* value) {
  std::fprintf(stderr, "[cudasim] %s: expected %s, got '%s'\n", variable, expected, value);
  std::_Exit(2);
}

template <class T>
void read_choice(const char* variable, T& out, const char* expected,
                 std::initializer_list<std::pair<std::string_view, T>> choices) {
  const char* const value = std::getenv(variable);
  if (value == nullptr) {
    return;
  }
  for (const auto& [name, choice] : choices) {
    if (name == value) {
      out = choice;
      return;
    }
  }
  refuse(variable, expected, value);
}

void read_number(const char* variable, auto& out) {
  const char* const value = std::getenv(variable);
  if (value != nullptr) {
    const char* const end = value + std::strlen(value);
    if (std::from_chars(value, end, out) != std::from_chars_result{end, std::errc()}) {
      refuse(variable, "a whole number", value);
    }
  }
}

Config from_environment() {
  Config c;
  read_choice("CUDASIM_ORDER", c.order, "forward, reverse or seeded",
              {{"forward", Order::forward}, {"reverse", Order::reverse}, {"seeded", Order::seeded}});
  read_choice("CUDASIM_DRIVER", c.driver, "present, without_device, missing or old",
              {{"present", Driver::present},
               {"without_device", Driver::without_device},
               {"missing", Driver::missing},
               {"old", Driver::old}});
  read_number("CUDASIM_SEED", c.seed);
  read_number("CUDASIM_MEMORY", c.memory);
  return c;
}

struct FailingAllocations {
  std::uint64_t before = 0;  // allocations that still succeed
  std::uint64_t count = 0;   // then so many fail
};

FailingAllocations failing_by_environment() {
  constexpr const char* kVariable = "CUDASIM_FAILING_ALLOCATION";
  const char* const value = std::getenv(kVariable);
  if (value == nullptr) {
    return {};
  }
  const char* const end = value + std::strlen(value);
  std::uint64_t from = 0;
  std::uint64_t count = 1;
  auto read = std::from_chars(value, end, from);
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == ',') {
    read = std::from_chars(read.ptr + 1, end, count);
  }
  if (read.ec != std::errc() || read.ptr != end || from == 0) {
    refuse(kVariable, "FROM or FROM,COUNT, counted from 1", value);
  }
  return {from - 1, count};
}

FailingAllocations& failing_allocations() {
  static FailingAllocations instance = failing_by_environment();
  return instance;
}

struct FailingLaunch {
  std::uint64_t before = 0;  // launches that still succeed
  std::optional<LaunchFailure> how;
};

FailingLaunch failing_launch;
Calls made;

}  // namespace

Config& config() {
  static Config instance = from_environment();
  return instance;
}

void fail_allocations(std::uint64_t from, std::uint64_t count) {
  const std::scoped_lock lock(runtime_mutex());
  failing_allocations() = from == 0 ? FailingAllocations{} : FailingAllocations{from - 1, count};
}

bool next_allocation_fails() {
  ++made.allocations;
  FailingAllocations& failing = failing_allocations();
  if (failing.before > 0) {
    --failing.before;
    return false;
  }
  if (failing.count > 0) {
    --failing.count;
    return true;
  }
  return false;
}

void fail_launch(std::uint64_t number, LaunchFailure how) {
  const std::scoped_lock lock(runtime_mutex());
  failing_launch = number == 0 ? FailingLaunch{} : FailingLaunch{number - 1, how};
}

std::optional<LaunchFailure> next_launch_failure() {
  ++made.launches;
  if (failing_launch.before > 0) {
    --failing_launch.before;
    return std::nullopt;
  }
  return std::exchange(failing_launch.how, std::nullopt);
}

Calls calls() {
  const std::scoped_lock lock(runtime_mutex());
  return made;
}

}  // namespace cudasim
