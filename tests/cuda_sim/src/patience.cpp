#include "patience.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "cudasim/control.h"
#include "runtime_mutex.h"

namespace cudasim {
namespace {

std::uint64_t progress = 0;  // counts what was queued, run, or noted

// How long somebody has waited and nothing has happened. Looked at often, so that a process that was stopped meanwhile
// has not waited that long.
constexpr std::chrono::milliseconds kLook{10};
std::chrono::nanoseconds waited{0};
std::optional<std::chrono::steady_clock::time_point> last_look;

}  // namespace

bool wait_for_other_threads() {
  const std::uint64_t before = progress;
  while (!runtime_mutex().wait_for(kLook, [&] { return progress != before; })) {
    if (out_of_patience()) {
      return false;
    }
  }
  return true;
}

void wait_for_news() {
  runtime_mutex().wait_for(kLook, [before = progress] { return progress != before; });
}

void note_progress() {
  ++progress;
  waited = {};
  last_look.reset();
  runtime_mutex().wake();
}

bool out_of_patience() {
  const auto now = std::chrono::steady_clock::now();
  waited += std::min<std::chrono::nanoseconds>(now - last_look.value_or(now), kLook);
  last_look = now;
  return waited > config().patience;
}

}  // namespace cudasim
