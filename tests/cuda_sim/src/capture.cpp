#include "capture.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "status.h"
#include "streams.h"

namespace cudasim {
namespace {

struct Node {
  std::string name;
  std::function<void()> run;
};
using Nodes = std::vector<Node>;

struct Recording {
  std::thread::id thread;
  bool spoiled = false;
  Nodes nodes;
};

std::map<cudaStream_t, Recording> recordings;
std::map<cudaGraph_t, std::shared_ptr<const Nodes>> graphs;
std::map<cudaGraphExec_t, std::shared_ptr<const Nodes>> executables;
std::uintptr_t handles = 0;

template <class Handle>
Handle next_handle() {
  return reinterpret_cast<Handle>(++handles * 16);
}

/// Whether what may synchronise is forbidden to the calling thread.
bool forbids(const Recording& recording) { return recording.thread == std::this_thread::get_id(); }

cudaError_t begin(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (stream == nullptr || stream == cudaStreamLegacy || mode != cudaStreamCaptureModeThreadLocal) {
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  if (recordings.count(stream) != 0) {
    return noted(cudaErrorIllegalState);
  }
  if (!is_stream(stream)) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  recordings[stream] = {std::this_thread::get_id(), false, {}};
  return cudaSuccess;
}

cudaError_t end(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const auto at = recordings.find(stream);
  if (at == recordings.end()) {
    return noted(cudaErrorIllegalState);
  }
  const Recording recording = std::move(at->second);
  if (recording.thread != std::this_thread::get_id()) {
    at->second = recording;
    return noted(cudaErrorStreamCaptureWrongThread);
  }
  recordings.erase(at);
  if (recording.spoiled) {
    return noted(cudaErrorStreamCaptureInvalidated);
  }
  *graph = next_handle<cudaGraph_t>();
  graphs[*graph] = std::make_shared<const Nodes>(recording.nodes);
  return cudaSuccess;
}

/// What was recorded goes to the stream piece by piece: as pieces of work of one stream, they run in their order.
cudaError_t start(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto at = executables.find(executable);
  if (at == executables.end()) {
    return noted(cudaErrorInvalidValue);
  }
  const std::shared_ptr<const Nodes> nodes = at->second;  // a graph may be destroyed before it ran
  for (const Node& node : *nodes) {
    if (const cudaError_t status = enqueue(stream, node.name, node.run); status != cudaSuccess) {
      return status;
    }
  }
  return device_status();
}

}  // namespace

std::optional<cudaError_t> record_work(cudaStream_t stream, bool is_default, const std::string& name,
                                       const std::function<void()>& run) {
  if (is_default) {
    bool waits = false;
    for (auto& [handle, recording] : recordings) {
      const bool blocks = is_blocking_stream(handle);
      recording.spoiled |= blocks;
      waits |= blocks;
    }
    return waits ? std::optional(noted(cudaErrorStreamCaptureImplicit)) : std::nullopt;
  }
  const auto at = recordings.find(stream);
  if (at == recordings.end()) {
    return {};
  }
  if (at->second.spoiled) {
    return noted(cudaErrorStreamCaptureInvalidated);
  }
  at->second.nodes.push_back({name, run});
  return cudaSuccess;
}

std::optional<cudaError_t> refused_by_recording(cudaStream_t stream) {
  bool refused = false;
  for (auto& [handle, recording] : recordings) {
    const bool this_one = (stream != nullptr && handle == stream) || forbids(recording);
    recording.spoiled |= this_one;
    refused |= this_one;
  }
  return refused ? std::optional(noted(cudaErrorStreamCaptureUnsupported)) : std::nullopt;
}

bool is_recorded(cudaStream_t stream) { return recordings.count(stream) != 0; }

void forget_recordings() { recordings.clear(); }

}  // namespace cudasim

using namespace cudasim;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(runtime_mutex());
  return begin(stream, mode);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(runtime_mutex());
  return end(stream, graph);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long /*flags*/) {
  const Lock lock(runtime_mutex());
  *executable = nullptr;
  const auto at = graphs.find(graph);
  if (at == graphs.end()) {
    return noted(cudaErrorInvalidValue);
  }
  *executable = next_handle<cudaGraphExec_t>();
  executables[*executable] = at->second;
  return device_status();
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const Lock lock(runtime_mutex());
  return start(executable, stream);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(runtime_mutex());
  return graphs.erase(graph) != 0 ? cudaSuccess : noted(cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const Lock lock(runtime_mutex());
  return executables.erase(executable) != 0 ? cudaSuccess : noted(cudaErrorInvalidValue);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const Lock lock(runtime_mutex());
  const auto at = graphs.find(graph);
  if (at == graphs.end() || nodes != nullptr) {  // only how many there are
    return noted(cudaErrorInvalidValue);
  }
  *count = at->second->size();
  return device_status();
}

}  // extern "C"
