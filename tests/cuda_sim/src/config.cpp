#include "config.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "streams.h"

namespace cudasim {
namespace {

constexpr int kMostDevices = 16;

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

/// As the driver does: of the devices that CUDA_VISIBLE_DEVICES lists, those before the first that is not there can be
/// used. Their numbers; they are all alike.
std::vector<int> visible_devices(int devices) {
  std::vector<int> numbers;
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) {
    for (int number = 0; number < devices; ++number) {
      numbers.push_back(number);
    }
    return numbers;
  }
  const char* const end = visible + std::strlen(visible);
  for (const char* at = visible; at < end;) {
    int number = -1;
    const auto read = std::from_chars(at, end, number);
    const bool whole = read.ec == std::errc() && (read.ptr == end || *read.ptr == ',');
    if (!whole || number < 0 || number >= devices || std::ranges::find(numbers, number) != numbers.end()) {
      break;
    }
    numbers.push_back(number);
    at = read.ptr + 1;
  }
  return numbers;
}

std::vector<int> gpus;  // of the machine, those that the program sees

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
  read_number("CUDASIM_DEVICES", c.devices);
  if (c.devices < 1 || c.devices > kMostDevices) {
    refuse("CUDASIM_DEVICES", "1 to 16", std::getenv("CUDASIM_DEVICES"));
  }
  gpus = visible_devices(c.devices);
  c.devices = static_cast<int>(gpus.size());
  if (c.driver == Driver::present && c.devices == 0) {
    c.driver = Driver::without_device;
  }
  std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(c.patience).count();
  read_number("CUDASIM_PATIENCE", seconds);
  c.patience = std::chrono::seconds(seconds);
  read_number("CUDASIM_MEMORY", c.memory);
  return c;
}

struct FailingCalls {
  std::uint64_t before = 0;  // calls that still succeed
  std::uint64_t count = 0;   // then so many fail

  FailingCalls() = default;
  FailingCalls(std::uint64_t from, std::uint64_t number)
      : before(from == 0 ? 0 : from - 1), count(from == 0 ? 0 : number) {}

  bool next_fails() {
    if (before > 0) {
      --before;
      return false;
    }
    if (count > 0) {
      --count;
      return true;
    }
    return false;
  }
};

struct FailingLaunch {
  std::uint64_t before = 0;  // launches that still succeed
  std::optional<LaunchFailure> how;
};

FailingLaunch failing_launch_by_environment() {
  std::uint64_t number = 0;
  read_number("CUDASIM_FAULTING_LAUNCH", number);
  return number == 0 ? FailingLaunch{} : FailingLaunch{number - 1, LaunchFailure::faulting};
}

FailingLaunch& failing_launch() {
  static FailingLaunch instance = failing_launch_by_environment();
  return instance;
}

FailingCalls failing_allocations;
FailingCalls failing_host_allocations;
FailingCalls failing_library_calls;
FailingCalls failing_creations;
std::string last_failed_kernel;
Calls made;

}  // namespace

Config& config() {
  static Config instance = from_environment();
  return instance;
}

int gpu_of_machine(int device) {
  config();
  const auto at = static_cast<std::size_t>(device);
  return at < gpus.size() ? gpus[at] : device;  // a test may have asked for more
}

void fail_allocations(std::uint64_t from, std::uint64_t count) {
  const Lock lock(runtime_mutex());
  failing_allocations = {from, count};
}

bool next_allocation_fails() {
  ++made.allocations;
  return failing_allocations.next_fails();
}

void fail_host_allocations(std::uint64_t from, std::uint64_t count) {
  const Lock lock(runtime_mutex());
  failing_host_allocations = {from, count};
}

bool next_host_allocation_fails() {
  ++made.host_allocations;
  return failing_host_allocations.next_fails();
}

void fail_library_call(std::uint64_t number) {
  const Lock lock(runtime_mutex());
  failing_library_calls = {number, 1};
}

bool next_library_call_fails() {
  const Lock lock(runtime_mutex());
  ++made.library_calls;
  return failing_library_calls.next_fails();
}

void fail_creation(std::uint64_t number) {
  const Lock lock(runtime_mutex());
  failing_creations = {number, 1};
}

bool next_creation_fails() {
  ++made.creations;
  return failing_creations.next_fails();
}

void count_plan() {
  const Lock lock(runtime_mutex());
  ++made.plans;
}

void fail_launch(std::uint64_t number, LaunchFailure how) {
  const Lock lock(runtime_mutex());
  failing_launch() = number == 0 ? FailingLaunch{} : FailingLaunch{number - 1, how};
}

std::optional<LaunchFailure> next_launch_failure(const std::string& kernel) {
  ++made.launches;
  FailingLaunch& failing = failing_launch();
  if (failing.before > 0) {
    --failing.before;
    return std::nullopt;
  }
  if (failing.how) {
    last_failed_kernel = kernel;
  }
  return std::exchange(failing.how, std::nullopt);
}

std::string failed_kernel() {
  const Lock lock(runtime_mutex());
  return last_failed_kernel;
}

Calls calls() {
  const Lock lock(runtime_mutex());
  return made;
}

}  // namespace cudasim
