#include "streams.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <utility>

#include "capture.h"
#include "config.h"
#include "cudasim/control.h"
#include "memory.h"
#include "report.h"
#include "status.h"

namespace cudasim {

std::vector<Work> all_work(1);
std::uint32_t running_work = 0;

namespace {

struct Event {
  std::uint64_t recorded = 0;  ///< Times that cudaEventRecord was called for it.
  std::uint64_t passed = 0;    ///< The last of those that the stream has come to.
  Clock before;                ///< What is ordered before the last record.
  bool timed = false;
  std::chrono::steady_clock::time_point time;
};
using EventPointer = std::shared_ptr<Event>;

struct Queued {
  std::function<void()> run;
  std::uint32_t work = 0;
  EventPointer event;  ///< Runs when this has passed its `generation`-th record; or none.
  std::uint64_t generation = 0;
};

struct Stream {
  std::size_t index = 0;
  bool blocking = true;  ///< Ordered with the default stream.
  bool destroyed = false;
  std::uint32_t count = 0;
  Clock clock;
  std::deque<Queued> queue;
};

std::vector<std::unique_ptr<Stream>> streams;
std::map<cudaEvent_t, EventPointer> events;
Clock host_clock;
std::uint64_t picks = 0;

Stream& add_stream(bool blocking) {
  streams.push_back(std::make_unique<Stream>());
  streams.back()->index = streams.size() - 1;
  streams.back()->blocking = blocking;
  return *streams.back();
}

/// Handles are small multiples of 16, so that none looks like cudaStreamLegacy; null is the default stream, the first.
Stream* find_stream(cudaStream_t handle) {
  if (streams.empty()) {
    add_stream(true);
  }
  const auto number = handle == cudaStreamLegacy ? 0 : reinterpret_cast<std::uintptr_t>(handle) / 16;
  return number < streams.size() && !streams[number]->destroyed ? streams[number].get() : nullptr;
}

EventPointer find_event(cudaEvent_t handle) {
  const auto at = events.find(handle);
  return at == events.end() ? nullptr : at->second;
}

void join(Clock& clock, const Clock& other) {
  clock.resize(std::max(clock.size(), other.size()));
  for (std::size_t i = 0; i < other.size(); ++i) {
    clock[i] = std::max(clock[i], other[i]);
  }
}

/// The default stream waits for all blocking streams and they for it: whichever was queued earlier goes first.
bool default_stream_allows(const Stream& stream) {
  if (!stream.blocking) {
    return true;
  }
  const std::uint32_t work = stream.queue.front().work;
  const auto is_later = [&](const Stream& other) { return other.queue.empty() || other.queue.front().work > work; };
  if (stream.index != 0) {
    return is_later(*streams[0]);
  }
  return std::all_of(streams.begin() + 1, streams.end(),
                     [&](const auto& other) { return !other->blocking || is_later(*other); });
}

bool is_ready(const Stream& stream) {
  if (stream.queue.empty()) {
    return false;
  }
  const Queued& next = stream.queue.front();
  return (next.event == nullptr || next.event->passed >= next.generation) && default_stream_allows(stream);
}

std::uint64_t mixed(std::uint64_t x) {  // SplitMix64
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

/// Of the streams that can go on, the one that the seed picks; null when there is no work.
Stream* pick_stream() {
  std::vector<Stream*> ready;
  for (const auto& stream : streams) {
    if (is_ready(*stream)) {
      ready.push_back(stream.get());
    }
  }
  return ready.empty() ? nullptr : ready[mixed(config().seed ^ mixed(++picks)) % ready.size()];
}

/// False when no work is left. Work always can go on: events are waited for only after they were recorded.
bool run_one() {
  Stream* const stream = pick_stream();
  if (stream == nullptr) {
    return false;
  }
  const Queued next = std::move(stream->queue.front());
  stream->queue.pop_front();
  running_work = next.work;
  if (device_status() == cudaSuccess) {
    next.run();
  }
  running_work = 0;
  return true;
}

template <class Done>
void run_until(Done done) {
  const ArenaAccess access;
  while (!done() && run_one()) {
  }
}

/// For a question whose answer was "not yet".
cudaError_t let_one_run() {
  const ArenaAccess access;
  run_one();
  return noted(cudaErrorNotReady);
}

void push(Stream& stream, std::string name, Queued queued) {
  if (stream.index == 0) {
    for (const auto& other : streams) {
      if (other->blocking) {
        join(stream.clock, other->clock);
      }
    }
  } else if (stream.blocking) {
    join(stream.clock, streams[0]->clock);
  }
  join(stream.clock, host_clock);
  stream.clock.resize(std::max(stream.clock.size(), stream.index + 1));
  stream.clock[stream.index] = ++stream.count;
  queued.work = static_cast<std::uint32_t>(all_work.size());
  all_work.push_back({stream.index, stream.count, stream.clock, std::move(name)});
  stream.queue.push_back(std::move(queued));
}

using Lock = std::scoped_lock<std::recursive_mutex>;

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static auto* const mutex = new std::recursive_mutex;  // never destroyed: programs free memory while they end
  return *mutex;
}

cudaError_t enqueue(cudaStream_t handle, std::string name, std::function<void()> run) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const auto recorded = record_work(handle, stream->index == 0, name, run)) {
    return *recorded;
  }
  push(*stream, std::move(name), {std::move(run), 0, nullptr, 0});
  return cudaSuccess;
}

bool is_stream(cudaStream_t handle) { return find_stream(handle) != nullptr; }

bool is_blocking_stream(cudaStream_t handle) {
  const Stream* const stream = find_stream(handle);
  return stream != nullptr && stream->blocking;
}

cudaError_t create_stream(cudaStream_t* handle, unsigned flags) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (next_creation_fails()) {
    return noted(cudaErrorMemoryAllocation);
  }
  find_stream(nullptr);
  const Stream& stream = add_stream((flags & cudaStreamNonBlocking) == 0);
  *handle = reinterpret_cast<cudaStream_t>(stream.index * 16);
  return cudaSuccess;
}

/// What it holds still runs.
cudaError_t destroy_stream(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  Stream* const stream = find_stream(handle);
  if (stream == nullptr || stream->index == 0) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  stream->destroyed = true;
  return cudaSuccess;
}

cudaError_t finish_stream(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const auto refused = refused_by_recording(handle)) {
    return *refused;
  }
  run_until([&] { return stream->queue.empty(); });
  join(host_clock, stream->clock);
  check_red_zones("a stream's synchronisation");
  return device_status();
}

cudaError_t finish_all_streams() {
  const Lock lock(runtime_mutex());
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  run_until([] { return false; });
  for (const auto& stream : streams) {
    join(host_clock, stream->clock);
  }
  check_red_zones("the device's synchronisation");
  return device_status();
}

cudaError_t query_stream(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  Stream* const stream = find_stream(handle);
  if (stream == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (const auto refused = refused_by_recording(handle)) {
    return *refused;
  }
  if (!stream->queue.empty()) {
    return let_one_run();
  }
  join(host_clock, stream->clock);
  return cudaSuccess;
}

cudaError_t create_event(cudaEvent_t* handle, unsigned flags) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (next_creation_fails()) {
    return noted(cudaErrorMemoryAllocation);
  }
  const auto event = std::make_shared<Event>();
  event->timed = (flags & cudaEventDisableTiming) == 0;
  *handle = reinterpret_cast<cudaEvent_t>(event.get());
  events[*handle] = event;
  return cudaSuccess;
}

cudaError_t destroy_event(cudaEvent_t handle) {
  const Lock lock(runtime_mutex());
  return events.erase(handle) > 0 ? cudaSuccess : noted(cudaErrorInvalidResourceHandle);
}

cudaError_t record_event(cudaEvent_t handle, cudaStream_t on) {
  const Lock lock(runtime_mutex());
  const EventPointer event = find_event(handle);
  if (event == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (is_recorded(on)) {  // events that become part of a graph are not simulated
    return *refused_by_recording(on);
  }
  const std::uint64_t generation = event->recorded + 1;
  const cudaError_t status = enqueue(on, "cudaEventRecord", [event, generation] {
    event->passed = std::max(event->passed, generation);
    event->time = std::chrono::steady_clock::now();
  });
  if (status == cudaSuccess) {
    event->recorded = generation;
    event->before = find_stream(on)->clock;
  }
  return status;
}

cudaError_t wait_for_event(cudaStream_t handle, cudaEvent_t event_handle) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  Stream* const stream = find_stream(handle);
  const EventPointer event = find_event(event_handle);
  if (stream == nullptr || event == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (is_recorded(handle)) {
    return *refused_by_recording(handle);
  }
  if (event->recorded > 0) {
    join(stream->clock, event->before);
    push(*stream, "cudaStreamWaitEvent", {[] {}, 0, event, event->recorded});
  }
  return cudaSuccess;
}

cudaError_t finish_event(cudaEvent_t handle) {
  const Lock lock(runtime_mutex());
  const EventPointer event = find_event(handle);
  if (event == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  run_until([&] { return event->passed >= event->recorded; });
  join(host_clock, event->before);
  return device_status();
}

cudaError_t query_event(cudaEvent_t handle) {
  const Lock lock(runtime_mutex());
  const EventPointer event = find_event(handle);
  if (event == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  if (event->passed < event->recorded) {
    return let_one_run();
  }
  join(host_clock, event->before);
  return cudaSuccess;
}

cudaError_t time_between_events(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  const Lock lock(runtime_mutex());
  const EventPointer from = find_event(first);
  const EventPointer to = find_event(last);
  if (from == nullptr || to == nullptr || !from->timed || !to->timed) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (from->passed < from->recorded || to->passed < to->recorded) {
    return noted(cudaErrorNotReady);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

void reset_device() {
  const Lock lock(runtime_mutex());
  forget_recordings();
  for (const auto& stream : streams) {
    stream->queue.clear();
  }
  for (const auto& [handle, event] : events) {
    event->passed = event->recorded;
  }
  free_what_a_failure_left();
  forget_errors();
}

}  // namespace cudasim
