// Which kernels may still run. CUDA says that one has failed at whichever call comes next, and not which: the error can
// name those that were queued since the host last waited. Library calls that queue kernels of their own are noted too.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

namespace earmark::kernels::cuda {

/// As it stands in the source, with its parameters; "a kernel" where the driver cannot tell.
std::string name_of_kernel(const void* kernel);

/// Notes that a kernel, or what the library call `name` does, was queued on `stream` of the current GPU. Where this
/// thread records a graph, it becomes part of that instead.
void note_launch(const void* kernel, cudaStream_t stream);
void note_call(const char* name, cudaStream_t stream);
/// Notes what a graph holds: `launches` is what a LaunchRecording took down.
void note_launches(const std::vector<const void*>& launches, cudaStream_t stream);

/// While alive, takes down what this thread notes, each kernel once. Scopes do not nest.
class LaunchRecording {
 public:
  explicit LaunchRecording(std::vector<const void*>& launches);
  ~LaunchRecording();
  LaunchRecording(const LaunchRecording&) = delete;
  LaunchRecording& operator=(const LaunchRecording&) = delete;
};

/// A place in a stream of a GPU: behind everything that was noted so far.
struct LaunchMark {
  int device = 0;
  cudaStream_t stream = nullptr;
  std::uint64_t position = 0;
};
LaunchMark mark_launches(cudaStream_t stream);
/// The host has waited until the stream was there, and nothing had failed.
void note_finished(const LaunchMark& mark);
/// The same for everything on the current GPU.
void note_all_finished();

/// What may have failed, as the end of an error's sentence: the kernels that no wait has come after, in the order in
/// which they were queued first. Empty where there are none.
std::string suspects();

}  // namespace earmark::kernels::cuda
