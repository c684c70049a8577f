#include "report.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <tuple>
#include <utility>

#include "block.h"
#include "cudasim/control.h"
#include "streams.h"
#include "symbols.h"

namespace cudasim {
namespace {

std::vector<Report> reports;
std::set<std::tuple<std::string, const void*, std::string>> reported;  // kind, line, or the text where there is no line

std::string place_of(const void* pc) {
  std::string place;
  const auto add = [&](const std::string& part) { place += (place.empty() ? "\n    at " : ", ") + part; };
  if (pc != nullptr) {
    add(line_of(pc));
  }
  if (running_lane != nullptr) {
    std::array<char, 100> text{};
    const uint3& t = running_lane->index;
    std::snprintf(text.data(), text.size(), "block (%u, %u, %u), thread (%u, %u, %u)", blockIdx.x, blockIdx.y,
                  blockIdx.z, t.x, t.y, t.z);
    add(text.data());
  }
  if (running_launch != nullptr) {
    add("kernel " + kernel_name(running_launch->kernel.kernel).text);
  }
  return place;
}

}  // namespace

constinit thread_local bool SimulatorsOwn::active = false;

std::vector<Report> take_reports() {
  const Lock lock(runtime_mutex());
  reported.clear();
  return std::exchange(reports, {});
}

void report(const char* kind, const std::string& text, const void* pc) {
  const SimulatorsOwn scope;
  const Lock lock(runtime_mutex());
  if (!reported.emplace(kind, pc, pc == nullptr ? text : std::string()).second) {
    return;
  }
  reports.push_back({kind, std::string(kind) + ": " + text + place_of(pc)});
  if (config().verbose) {
    std::fprintf(stderr, "[cudasim] %s\n", reports.back().text.c_str());
  }
}

void fail_kernel(const char* kind, const std::string& text, const void* pc) {
  report(kind, text, pc);
  abandon_launch();
}

void die(const std::string& text) {
  std::fprintf(stderr, "[cudasim] %s\n", text.c_str());
  std::abort();
}

}  // namespace cudasim
