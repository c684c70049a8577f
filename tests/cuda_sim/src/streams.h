// Streams queue work; nothing of it runs until something waits for it, and then whichever stream the seed picks goes
// first. A clock per stream (a vector clock) tells which pieces of work are ordered by streams, events and the host.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "meeting.h"
#include "runtime_mutex.h"

namespace cudasim {

/// By stream: how many of its pieces of work are known to be done.
using Clock = std::vector<std::uint32_t>;

/// A kernel, copy, library call: what races are reported between.
struct Work {
  std::size_t stream = 0;
  std::uint32_t position = 0;  ///< Counts from 1 in its stream.
  Clock before;                ///< What is ordered before it, itself included.
  std::string name;
};

/// By number; number 0 is none.
extern std::vector<Work> all_work;

/// The piece of work that runs, or 0.
extern std::uint32_t running_work;

/// Whether `earlier` is done before `later` begins, in every order in which streams may run.
inline bool work_is_ordered(std::uint32_t earlier, std::uint32_t later) {
  const Work& first = all_work[earlier];
  const Clock& clock = all_work[later].before;
  return first.stream < clock.size() && clock[first.stream] >= first.position;
}

/// The GPU whose work runs.
int running_device();

/// Queues `run` on a stream, as the runtime's and the libraries' functions do.
cudaError_t enqueue(cudaStream_t stream, std::string name, std::function<void()> run);
/// Queues a piece of what several streams do together: now, not where the stream is recorded.
cudaError_t enqueue(cudaStream_t stream, std::string name, std::shared_ptr<Meeting> meeting, std::size_t piece);

/// Whether there is a stream of this handle, whether the default stream waits for it, and whose it is, -1 where there
/// is none. The default stream is that of the current GPU.
bool is_stream(cudaStream_t stream);
bool is_blocking_stream(cudaStream_t stream);
int device_of(cudaStream_t stream);

cudaError_t create_stream(cudaStream_t* stream, unsigned flags);
/// One that the default stream does not wait for; nothing can go wrong.
cudaStream_t make_stream(int device);
cudaError_t destroy_stream(cudaStream_t stream);
/// Runs work until the stream has none left, and checks the red zones. The sticky error, if there is one.
cudaError_t finish_stream(cudaStream_t stream);
cudaError_t finish_device(int device);

/// For whoever asks whether something is done that is not: lets one piece of work run. False where none can, and
/// nobody has called anything for so long that what waits was given up.
bool let_work_go_on();

/// From now on a thread runs work as soon as it can, as GPUs do: another process may wait for it while this one's host
/// waits for that process.
void run_work_at_once();
/// Whether the program is ending: threads leave alone what is being destroyed.
bool program_ends();

cudaError_t create_event(cudaEvent_t* event, unsigned flags);
cudaError_t destroy_event(cudaEvent_t event);
cudaError_t record_event(cudaEvent_t event, cudaStream_t stream);
cudaError_t wait_for_event(cudaStream_t stream, cudaEvent_t event);
cudaError_t finish_event(cudaEvent_t event);
/// cudaErrorNotReady while it has not passed. Asking lets one piece of work run: a loop that asks comes to an end.
cudaError_t query_event(cudaEvent_t event);
cudaError_t time_between_events(float* milliseconds, cudaEvent_t first, cudaEvent_t last);

struct Event;
using EventPointer = std::shared_ptr<Event>;
/// The same for events that no program knows of: a new one, recorded at the end of what the stream holds, and what
/// waits for it.
EventPointer mark_end(cudaStream_t stream);
cudaError_t wait_for_event(cudaStream_t stream, const EventPointer& event);

}  // namespace cudasim
