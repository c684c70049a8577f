#include "stream_queue.h"

#include <algorithm>

#include "config.h"
#include "status.h"

namespace cudasim {
namespace {

/// A GPU's default stream waits for its blocking streams and they for it: whichever was queued earlier goes first.
bool default_stream_allows(const Streams& streams, const Stream& stream) {
  if (!stream.blocking) {
    return true;
  }
  const std::uint32_t work = stream.queue.front().work;
  const auto is_later = [&](const Stream& other) { return other.queue.empty() || other.queue.front().work > work; };
  return std::ranges::all_of(streams, [&](const auto& other) {
    const bool in_order = other->device == stream.device && other->blocking && other->is_default != stream.is_default;
    return !in_order || is_later(*other);
  });
}

bool is_ready(const Streams& streams, const Stream& stream) {
  if (stream.queue.empty()) {
    return false;
  }
  const Queued& next = stream.queue.front();
  if (next.waits && !next.meeting->over() && !device_has_failed()) {
    return false;
  }
  // After a failure nothing is recorded any more that others wait for.
  const bool passed = next.event == nullptr || next.event->passed >= next.generation || device_has_failed();
  return passed && default_stream_allows(streams, stream);
}

std::uint64_t mixed(std::uint64_t x) {  // SplitMix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

}  // namespace

Stream* pick_stream(const Streams& streams) {
  static std::uint64_t picks = 0;  // under the runtime's mutex, as all of this
  std::vector<Stream*> ready;
  for (const auto& stream : streams) {
    if (is_ready(streams, *stream)) {
      ready.push_back(stream.get());
    }
  }
  return ready.empty() ? nullptr : ready[mixed(config().seed ^ mixed(++picks)) % ready.size()];
}

}  // namespace cudasim
