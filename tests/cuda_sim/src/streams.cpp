#include "streams.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "capture.h"
#include "config.h"
#include "cudasim/control.h"
#include "devices.h"
#include "fault.h"
#include "memory.h"
#include "patience.h"
#include "report.h"
#include "status.h"
#include "stream_queue.h"

namespace cudasim {

std::vector<Work> all_work(1);
std::uint32_t running_work = 0;

namespace {

std::vector<std::unique_ptr<Stream>> streams;
std::map<int, Stream*> default_streams;  // by GPU
std::map<cudaEvent_t, EventPointer> events;
Clock host_clock;

Stream& add_stream(int device, bool blocking) {
  streams.push_back(std::make_unique<Stream>());
  streams.back()->index = streams.size() - 1;
  streams.back()->device = device;
  streams.back()->blocking = blocking;
  return *streams.back();
}

Stream& default_stream(int device) {
  Stream*& stream = default_streams[device];
  if (stream == nullptr) {
    stream = &add_stream(device, true);
    stream->is_default = true;
  }
  return *stream;
}

cudaStream_t new_stream(int device, bool blocking) {
  default_stream(device);  // before all others, so that none of those is number 0
  return reinterpret_cast<cudaStream_t>(add_stream(device, blocking).index * 16);
}

/// Handles are small multiples of 16, so that none looks like cudaStreamLegacy. Number 0 is always a default stream.
Stream* find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) {
    return &default_stream(current_device);
  }
  const auto number = reinterpret_cast<std::uintptr_t>(handle) / 16;
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

/// Runs the next piece of a stream, or lets the stream wait at a meeting. False when no work can go on: none is left,
/// or what is left waits for a thread that has not called yet. (Events are waited for only after they were recorded.)
bool run_one() {
  Stream* const stream = pick_stream(streams);
  if (stream == nullptr) {
    return false;
  }
  const ArenaAccess access;
  note_progress();
  Queued& front = stream->queue.front();
  running_work = front.work;
  if (front.meeting != nullptr && !front.meeting->over() && !device_has_failed()) {
    front.waits = true;
    front.meeting->arrive(front.piece, front.work);
    running_work = 0;
    return true;
  }
  const Queued next = std::move(front);
  stream->queue.pop_front();
  if (next.meeting == nullptr && device_status() == cudaSuccess) {
    next.run();
  }
  running_work = 0;
  return true;
}

/// Ends the meetings that streams wait at. Those never go on on a GPU; here they do, but what comes after is not done.
void give_up_meetings() {
  for (const auto& stream : streams) {
    if (!stream->queue.empty() && stream->queue.front().waits && !stream->queue.front().meeting->over()) {
      stream->queue.front().meeting->give_up();
      stream->queue.front().meeting->end();
    }
  }
  fail_device(cudaErrorLaunchTimeout);
  note_progress();
}

template <class Done>
void run_until(Done done) {
  const ArenaAccess access;  // for all of it: it costs more than many a kernel
  while (!done() && run_one()) {
  }
}

/// After a failure nothing is, and events that were skipped never pass.
bool work_is_left() {
  return std::ranges::any_of(streams, [](const auto& stream) { return !stream->queue.empty(); });
}

template <class Done>
void finish(Done done) {
  for (run_until(done); !done() && work_is_left(); run_until(done)) {  // another thread has to call first
    if (!wait_for_other_threads()) {
      give_up_meetings();
    }
  }
}

/// For a question whose answer was "not yet".
cudaError_t let_one_run() {
  static_cast<void>(let_work_go_on());
  return noted(cudaErrorNotReady);
}

void push(Stream& stream, std::string name, Queued queued) {
  if (stream.is_default) {
    for (const auto& other : streams) {
      if (other->blocking && other->device == stream.device) {
        join(stream.clock, other->clock);
      }
    }
  } else if (stream.blocking) {
    join(stream.clock, default_stream(stream.device).clock);
  }
  join(stream.clock, host_clock);
  stream.clock.resize(std::max(stream.clock.size(), stream.index + 1));
  stream.clock[stream.index] = ++stream.count;
  queued.work = static_cast<std::uint32_t>(all_work.size());
  all_work.push_back({stream.index, stream.count, stream.clock, std::move(name)});
  stream.queue.push_back(std::move(queued));
  note_progress();
}

cudaError_t finish_streams(const std::function<bool(const Stream&)>& are_meant) {
  finish(
      [&] { return std::ranges::all_of(streams, [&](const auto& s) { return s->queue.empty() || !are_meant(*s); }); });
  for (const auto& stream : streams) {
    if (are_meant(*stream)) {
      join(host_clock, stream->clock);
    }
  }
  check_red_zones("the device's synchronisation");
  return device_status();
}

}  // namespace

int running_device() { return running_work == 0 ? 0 : streams[all_work[running_work].stream]->device; }

RuntimeMutex& runtime_mutex() {
  static auto* const mutex = new RuntimeMutex;  // never destroyed: programs free memory while they end
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
  if (const auto recorded = record_work(handle, stream->is_default, name, run)) {
    return *recorded;
  }
  push(*stream, std::move(name), {.run = std::move(run)});
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t handle, std::string name, std::shared_ptr<Meeting> meeting, std::size_t piece) {
  const Lock lock(runtime_mutex());
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  Stream* const stream = find_stream(handle);
  if (stream == nullptr || stream->device != current_device) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  push(*stream, std::move(name), {.meeting = std::move(meeting), .piece = piece});
  return cudaSuccess;
}

bool let_work_go_on() {
  if (run_one()) {
    return true;
  }
  if (out_of_patience()) {
    give_up_meetings();
    return false;
  }
  return true;
}

namespace {

constexpr int kPiecesAtOnce = 64;  // then the host may queue more
bool ending = false;

void run_work_until_the_end() {
  catch_faults_of_this_thread();
  while (true) {
    {
      const Lock lock(runtime_mutex());
      if (ending) {
        return;
      }
      int pieces = 0;
      run_until([&] { return pieces++ == kPiecesAtOnce; });
      if (pieces <= kPiecesAtOnce) {  // no more can go on
        wait_for_news();
      }
    }
    std::this_thread::yield();
  }
}

}  // namespace

void run_work_at_once() {
  static const bool once = [] {
    std::atexit([] {
      const Lock lock(runtime_mutex());
      ending = true;
    });
    std::thread(run_work_until_the_end).detach();
    return true;
  }();
  static_cast<void>(once);
}

bool program_ends() { return ending; }

bool is_stream(cudaStream_t handle) { return find_stream(handle) != nullptr; }

int device_of(cudaStream_t handle) {
  const Stream* const stream = find_stream(handle);
  return stream == nullptr ? -1 : stream->device;
}

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
  *handle = new_stream(current_device, (flags & cudaStreamNonBlocking) == 0);
  return cudaSuccess;
}

cudaStream_t make_stream(int device) {
  const Lock lock(runtime_mutex());
  return new_stream(device, false);
}

/// What it holds still runs.
cudaError_t destroy_stream(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  Stream* const stream = find_stream(handle);
  if (stream == nullptr || stream->is_default) {
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
  finish([&] { return stream->queue.empty(); });
  join(host_clock, stream->clock);
  check_red_zones("a stream's synchronisation");
  return device_status();
}

cudaError_t finish_device(int device) {
  const Lock lock(runtime_mutex());
  if (const auto refused = refused_by_recording()) {
    return *refused;
  }
  return finish_streams([=](const Stream& stream) { return stream.device == device; });
}

void finish_all_devices() {
  const Lock lock(runtime_mutex());
  if (!refused_by_recording()) {
    finish_streams([](const Stream&) { return true; });
  }
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
  event->device = current_device;
  event->timed = (flags & cudaEventDisableTiming) == 0;
  *handle = reinterpret_cast<cudaEvent_t>(event.get());
  events[*handle] = event;
  return cudaSuccess;
}

cudaError_t destroy_event(cudaEvent_t handle) {
  const Lock lock(runtime_mutex());
  forget_event_of_graph(handle);
  return events.erase(handle) > 0 ? cudaSuccess : noted(cudaErrorInvalidResourceHandle);
}

namespace {

cudaError_t record(const EventPointer& event, cudaStream_t on) {
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

/// What the host asks of an event, or waits for.
std::optional<cudaError_t> refused_as_of_graph(cudaEvent_t handle) {
  if (const auto refused = refused_by_recording()) {
    return refused;
  }
  return is_event_of_graph(handle) ? std::optional(noted(cudaErrorCapturedEvent)) : std::nullopt;
}

}  // namespace

cudaError_t record_event(cudaEvent_t handle, cudaStream_t on) {
  const Lock lock(runtime_mutex());
  const EventPointer event = find_event(handle);
  if (event == nullptr || event->device != device_of(on)) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const auto recorded = record_event_of_graph(handle, on)) {
    return *recorded;
  }
  return record(event, on);
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
  if (const auto recorded = record_wait(handle, stream->is_default, event_handle)) {
    return *recorded;
  }
  return wait_for_event(handle, event);
}

EventPointer mark_end(cudaStream_t handle) {
  const Lock lock(runtime_mutex());
  const auto event = std::make_shared<Event>();
  event->device = device_of(handle);
  static_cast<void>(record(event, handle));
  return event;
}

cudaError_t wait_for_event(cudaStream_t handle, const EventPointer& event) {
  const Lock lock(runtime_mutex());
  if (Stream* const stream = find_stream(handle); stream != nullptr && event->recorded > 0) {
    join(stream->clock, event->before);
    push(*stream, "cudaStreamWaitEvent", {.run = [] {}, .event = event, .generation = event->recorded});
  }
  return cudaSuccess;
}

cudaError_t finish_event(cudaEvent_t handle) {
  const Lock lock(runtime_mutex());
  const EventPointer event = find_event(handle);
  if (event == nullptr) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  if (const auto refused = refused_as_of_graph(handle)) {
    return *refused;
  }
  finish([&] { return event->passed >= event->recorded; });
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
  if (const auto refused = refused_as_of_graph(handle)) {
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
  note_progress();
  for (const auto& [handle, event] : events) {
    event->passed = event->recorded;
  }
  free_what_a_failure_left();
  forget_errors();
}

}  // namespace cudasim
