#include "kernels/cuda/graph.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/graph_memory.h"
#include "kernels/cuda/launch_log.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"
#include "kernels/error.h"

namespace earmark::kernels::cuda {
namespace {

/// Ends a recording in any case: a stream that is left in it can do nothing else.
class Capture {
 public:
  /// Other threads go on with what they do, be it waiting or making memory.
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  }
  ~Capture() {
    if (open_) {
      cudaGraph_t graph = nullptr;
      static_cast<void>(cudaStreamEndCapture(stream_, &graph));
      if (graph != nullptr) {
        static_cast<void>(cudaGraphDestroy(graph));
      }
      static_cast<void>(cudaGetLastError());
    }
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  cudaGraph_t finish() {
    open_ = false;
    cudaGraph_t graph = nullptr;
    CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
    return graph;
  }

 private:
  cudaStream_t stream_;
  bool open_ = true;
};

cudaGraphExec_t executable_of(void* opaque) { return static_cast<cudaGraphExec_t>(opaque); }

}  // namespace

Graph::Graph(int device) : device_(device) {}

Graph::~Graph() {
  if (executable_ != nullptr) {
    static_cast<void>(cudaGraphExecDestroy(executable_of(executable_)));
  }
  if (arena_ != nullptr) {
    abandon(std::move(arena_));
  }
}

void Graph::rehearse(const std::function<void()>& work) {
  const RehearsalScope scope;
  work();
  peak_ = std::max(peak_, scope.peak());
  rehearsed_ = true;
}

void Graph::record(const std::function<void()>& work) {
  make_current(device_);
  const cudaStream_t stream = current_stream();
  check(stream != nullptr, "CUDA graph: work on the default stream cannot be recorded, a stream of one's own can");
  check(rehearsed_ && !recorded(), "CUDA graph: expected work that was rehearsed and not recorded yet");
  arena_ = make_arena(peak_, device_);
  cudaGraph_t graph = nullptr;
  try {
    const RecordingScope scope(arena_);
    const LaunchRecording launches(kernels_);
    Capture capture(stream);
    work();
    graph = capture.finish();
  } catch (const Error& error) {
    abandon(std::exchange(arena_, nullptr));
    fail("CUDA graph: the work cannot be recorded: ", error.what());
  }
  cudaGraphExec_t executable = nullptr;
  const cudaError_t counted = cudaGraphGetNodes(graph, nullptr, &pieces_);
  const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  CUDA_CHECK(counted);
  CUDA_CHECK(made);
  executable_ = executable;
}

void Graph::launch() const {
  check(recorded(), "CUDA graph: nothing was recorded");
  CUDA_CHECK(cudaGraphLaunch(executable_of(executable_), current_stream()));
  note_launches(kernels_, current_stream());
}

std::size_t Graph::bytes() const { return arena_ == nullptr ? 0 : arena_->bytes(); }

void refuse_while_recording(const char* what) {
  check(recording_arena() == nullptr, what, " cannot be part of a CUDA graph");
}

}  // namespace earmark::kernels::cuda
