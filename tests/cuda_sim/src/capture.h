// Recording a stream into a graph: while it goes on, work that is queued is noted down instead of run, and calls are
// refused that the runtime refuses.
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

/// For a call that waits, asks, or may synchronise, on `stream` or, where null, on anything: while that stream is
/// recorded, or this thread records another, it spoils the recording. Nothing where it may go on.
std::optional<cudaError_t> refused_by_recording(cudaStream_t stream = nullptr);

/// Whether `stream` is being recorded.
bool is_recorded(cudaStream_t stream);

/// Ends all recordings, as the end of the process would.
void forget_recordings();

}  // namespace cudasim
