#include "kernels/life_signs.h"

#include <algorithm>
#include <atomic>

#include "kernels/error.h"
#include "kernels/socket.h"

namespace earmark {

namespace {

std::atomic<std::uint64_t> signs{0};

}  // namespace

void show_life() { signs.fetch_add(1, std::memory_order_relaxed); }

std::uint64_t signs_of_life() { return signs.load(std::memory_order_relaxed); }

LifeWatch::LifeWatch(int size, std::chrono::milliseconds timeout)
    : ranks_(static_cast<std::size_t>(size), Seen{0, Clock::now()}), timeout_(timeout) {}

void LifeWatch::see(int rank, std::uint64_t signs_now) {
  Seen& seen = ranks_.at(static_cast<std::size_t>(rank));
  if (seen.signs != signs_now) {
    seen.signs = signs_now;
    seen.since = Clock::now();
  }
}

void LifeWatch::excuse(int rank) { ranks_.at(static_cast<std::size_t>(rank)).excused = true; }

int LifeWatch::silent() const {
  const Clock::time_point now = Clock::now();
  const auto found =
      std::ranges::find_if(ranks_, [&](const Seen& seen) { return !seen.excused && now - seen.since > timeout_; });
  return found == ranks_.end() ? -1 : static_cast<int>(found - ranks_.begin());
}

std::string LifeWatch::sentence(int rank) const {
  return str("rank ", rank, " of ", ranks_.size(), " answers, but has got nowhere for ", seconds_text(timeout_),
             ": it hangs");
}

}  // namespace earmark
