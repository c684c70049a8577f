// What waits in a stream, and which stream goes on next.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "meeting.h"
#include "streams.h"

namespace cudasim {

struct Event {
  std::uint64_t recorded = 0;  ///< Times that cudaEventRecord was called for it.
  std::uint64_t passed = 0;    ///< The last of those that the stream has come to.
  Clock before;                ///< What is ordered before the last record.
  int device = 0;
  bool timed = false;
  std::chrono::steady_clock::time_point time;
};

struct Queued {
  std::function<void()> run{};
  std::uint32_t work = 0;
  EventPointer event{};  ///< Runs when this has passed its `generation`-th record; or none.
  std::uint64_t generation = 0;
  std::shared_ptr<Meeting> meeting{};  ///< Of which this is piece number `piece`; or none.
  std::size_t piece = 0;
  bool waits = false;  ///< The stream has come to the meeting.
};

struct Stream {
  std::size_t index = 0;
  int device = 0;
  bool is_default = false;
  bool blocking = true;  ///< Ordered with the default stream of its GPU.
  bool destroyed = false;
  std::uint32_t count = 0;
  Clock clock;
  std::deque<Queued> queue;
};

using Streams = std::vector<std::unique_ptr<Stream>>;

/// Of the streams that can go on, the one that the seed picks; null when there is no work.
Stream* pick_stream(const Streams& streams);

}  // namespace cudasim
