// Recording streams into a graph: while it goes on, work that is queued is noted down instead of run, and calls are
// refused that the runtime refuses. A stream that waits for an event of a recorded one joins the recording, which has a
// branch for each of its streams.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <optional>
#include <string>

namespace cudasim {

/// Where `stream` is being recorded, notes the work down: the status of that. Nothing where it is not. Work on the
/// default stream, which would have to wait for a recorded stream that is not cudaStreamNonBlocking, is refused.
std::optional<cudaError_t> record_work(cudaStream_t stream, bool is_default, const std::string& name,
                                       const std::function<void()>& run);
/// The same for what each launch of the graph queues anew, on the stream that it is called with.
std::optional<cudaError_t> record_call(cudaStream_t stream, const std::function<cudaError_t(cudaStream_t)>& queue);

/// Where `stream` is being recorded, `event` marks a place in the recording from now on. Nothing where it is not: then
/// it marks none.
std::optional<cudaError_t> record_event_of_graph(cudaEvent_t event, cudaStream_t stream);
/// Where `event` marks a place in a recording, `stream` goes on behind it and takes part in the recording. A recorded
/// stream waits for no other events. Nothing where neither is recorded.
std::optional<cudaError_t> record_wait(cudaStream_t stream, bool is_default, cudaEvent_t event);
/// Whether it marks a place in a recording, one that goes on or is over: the host can neither ask nor wait for it.
bool is_event_of_graph(cudaEvent_t event);
void forget_event_of_graph(cudaEvent_t event);

/// For a call that waits, asks, or may synchronise, on `stream` or, where null, on anything: while that stream is
/// recorded, or this thread records another, it spoils the recording. Nothing where it may go on.
std::optional<cudaError_t> refused_by_recording(cudaStream_t stream = nullptr);

/// Whether `stream` is being recorded.
bool is_recorded(cudaStream_t stream);

/// Ends all recordings, as the end of the process would.
void forget_recordings();

}  // namespace cudasim
