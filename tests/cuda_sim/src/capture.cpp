#include "capture.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "devices.h"
#include "status.h"
#include "streams.h"

namespace cudasim {
namespace {

/// What a launch has: the stream of each branch, and the events that its nodes record.
struct Launch {
  std::vector<cudaStream_t> branches;
  std::vector<EventPointer> events;
};
using Node = std::function<cudaError_t(Launch& launch)>;

/// What was recorded.
struct Record {
  std::vector<Node> nodes;  // in the order in which they came
  std::size_t pieces = 0;   // those of them that are work
  std::size_t events = 0;
  std::vector<int> devices;  // of the branches
};

/// By branch: how many of its pieces are done before.
using Known = std::vector<std::size_t>;

struct Branch {
  cudaStream_t stream = nullptr;
  std::size_t pieces = 0;
  Known before{};
};

struct Recording {
  std::thread::id thread;
  bool spoiled = false;
  std::vector<Branch> branches{};  // the first is that which began
  Record record{};
};

/// Where an event was recorded.
struct Mark {
  std::uint64_t recording = 0;
  std::size_t event = 0;  // of the record's
  Known before{};
};

struct Executable {
  std::shared_ptr<const Record> record;
  std::vector<cudaStream_t> others;  // of the branches but the first
};

std::map<std::uint64_t, Recording> recordings;  // by number, those that go on
std::uint64_t begun = 0;
std::map<cudaEvent_t, Mark> marks;
std::map<cudaGraph_t, std::shared_ptr<const Record>> graphs;
std::map<cudaGraphExec_t, Executable> executables;
std::uintptr_t handles = 0;

template <class Handle>
Handle next_handle() {
  return reinterpret_cast<Handle>(++handles * 16);
}

/// A recorded stream, as its recording knows it.
struct Place {
  std::uint64_t number = 0;
  Recording* recording = nullptr;
  std::size_t branch = 0;

  Branch& of() const { return recording->branches[branch]; }
};

std::optional<Place> place_of(cudaStream_t stream) {
  for (auto& [number, recording] : recordings) {
    const auto at = std::ranges::find(recording.branches, stream, &Branch::stream);
    if (at != recording.branches.end()) {
      return Place{number, &recording, static_cast<std::size_t>(at - recording.branches.begin())};
    }
  }
  return {};
}

void join(Known& known, const Known& other) {
  known.resize(std::max(known.size(), other.size()));
  for (std::size_t i = 0; i < other.size(); ++i) {
    known[i] = std::max(known[i], other[i]);
  }
}

/// Whether what may synchronise is forbidden to the calling thread.
bool forbids(const Recording& recording) { return recording.thread == std::this_thread::get_id(); }

cudaError_t spoil(Recording& recording, cudaError_t why) {
  recording.spoiled = true;
  return noted(why);
}

cudaError_t add_node(Recording& recording, Node node) {
  if (recording.spoiled) {
    return noted(cudaErrorStreamCaptureInvalidated);
  }
  recording.record.nodes.push_back(std::move(node));
  return cudaSuccess;
}

cudaError_t begin(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (const cudaError_t status = device_status(); status != cudaSuccess) {
    return status;
  }
  if (stream == nullptr || stream == cudaStreamLegacy || mode != cudaStreamCaptureModeThreadLocal) {
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  if (is_recorded(stream)) {
    return noted(cudaErrorIllegalState);
  }
  if (!is_stream(stream)) {
    return noted(cudaErrorInvalidResourceHandle);
  }
  Recording& recording = recordings[++begun];
  recording.thread = std::this_thread::get_id();
  recording.branches.push_back({.stream = stream});
  recording.record.devices.push_back(device_of(stream));
  return cudaSuccess;
}

/// Whether the first stream is behind all that the others hold.
bool all_joined(const Recording& recording) {
  Known end = recording.branches.front().before;
  end.resize(recording.branches.size());
  for (std::size_t branch = 1; branch < end.size(); ++branch) {
    if (end[branch] < recording.branches[branch].pieces) {
      return false;
    }
  }
  return true;
}

cudaError_t end(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const auto at = place_of(stream);
  if (!at) {
    return noted(cudaErrorIllegalState);
  }
  if (at->recording->thread != std::this_thread::get_id()) {
    return noted(cudaErrorStreamCaptureWrongThread);
  }
  if (at->branch != 0) {
    return spoil(*at->recording, cudaErrorStreamCaptureUnmatched);
  }
  const Recording recording = std::move(*at->recording);
  recordings.erase(at->number);
  if (recording.spoiled) {
    return noted(cudaErrorStreamCaptureInvalidated);
  }
  if (!all_joined(recording)) {
    return noted(cudaErrorStreamCaptureUnjoined);
  }
  *graph = next_handle<cudaGraph_t>();
  graphs[*graph] = std::make_shared<const Record>(recording.record);
  return cudaSuccess;
}

cudaError_t instantiate(cudaGraphExec_t* executable, cudaGraph_t graph) {
  *executable = nullptr;
  const auto at = graphs.find(graph);
  if (at == graphs.end()) {
    return noted(cudaErrorInvalidValue);
  }
  Executable made{.record = at->second, .others = {}};
  for (std::size_t branch = 1; branch < made.record->devices.size(); ++branch) {
    made.others.push_back(make_stream(made.record->devices[branch]));
  }
  *executable = next_handle<cudaGraphExec_t>();
  executables[*executable] = std::move(made);
  return device_status();
}

/// The nodes go to the streams of their branches one by one: as pieces of work of those, they run in any order that the
/// recorded events allow.
cudaError_t start(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto at = executables.find(executable);
  if (at == executables.end()) {
    return noted(cudaErrorInvalidValue);
  }
  if (is_recorded(stream)) {  // graphs in graphs are not simulated
    return *refused_by_recording(stream);
  }
  const std::shared_ptr<const Record> record = at->second.record;  // a graph may be destroyed before it ran
  Launch launch{.branches = {stream}, .events = std::vector<EventPointer>(record->events)};
  launch.branches.insert(launch.branches.end(), at->second.others.begin(), at->second.others.end());
  for (const Node& node : record->nodes) {
    if (const cudaError_t status = node(launch); status != cudaSuccess) {
      return status;
    }
  }
  return device_status();
}

cudaError_t destroy(cudaGraphExec_t executable) {
  const auto at = executables.find(executable);
  if (at == executables.end()) {
    return noted(cudaErrorInvalidValue);
  }
  for (const cudaStream_t stream : at->second.others) {
    static_cast<void>(destroy_stream(stream));
  }
  executables.erase(at);
  return cudaSuccess;
}

}  // namespace

std::optional<cudaError_t> record_work(cudaStream_t stream, bool is_default, const std::string& name,
                                       const std::function<void()>& run) {
  if (!is_default) {
    return record_call(stream, [name, run](cudaStream_t launched) { return enqueue(launched, name, run); });
  }
  bool waits = false;
  for (auto& [number, recording] : recordings) {
    const bool blocks = std::ranges::any_of(recording.branches, is_blocking_stream, &Branch::stream);
    recording.spoiled |= blocks;
    waits |= blocks;
  }
  return waits ? std::optional(noted(cudaErrorStreamCaptureImplicit)) : std::nullopt;
}

std::optional<cudaError_t> record_call(cudaStream_t stream, const std::function<cudaError_t(cudaStream_t)>& queue) {
  const auto at = place_of(stream);
  if (!at) {
    return {};
  }
  ++at->of().pieces;
  ++at->recording->record.pieces;
  return add_node(*at->recording,
                  [queue, branch = at->branch](Launch& launch) { return queue(launch.branches[branch]); });
}

std::optional<cudaError_t> record_event_of_graph(cudaEvent_t event, cudaStream_t stream) {
  marks.erase(event);
  const auto at = place_of(stream);
  if (!at) {
    return {};
  }
  Known before = at->of().before;
  before.resize(std::max(before.size(), at->branch + 1));
  before[at->branch] = at->of().pieces;
  const std::size_t number = at->recording->record.events++;
  marks[event] = {at->number, number, std::move(before)};
  return add_node(*at->recording, [number, branch = at->branch](Launch& launch) {
    launch.events[number] = mark_end(launch.branches[branch]);
    return cudaSuccess;
  });
}

std::optional<cudaError_t> record_wait(cudaStream_t stream, bool is_default, cudaEvent_t event) {
  const auto mark = marks.find(event);
  const auto at = place_of(stream);
  if (mark == marks.end()) {
    return at ? std::optional(spoil(*at->recording, cudaErrorStreamCaptureIsolation)) : std::nullopt;
  }
  const auto open = recordings.find(mark->second.recording);
  if (open == recordings.end()) {
    return noted(cudaErrorCapturedEvent);
  }
  Recording& recording = open->second;
  if (is_default) {
    return spoil(recording, cudaErrorStreamCaptureImplicit);
  }
  if (at && at->recording != &recording) {
    at->recording->spoiled = true;
    return spoil(recording, cudaErrorStreamCaptureMerge);
  }
  const std::size_t branch = at ? at->branch : recording.branches.size();
  if (!at) {
    recording.branches.push_back({.stream = stream});
    recording.record.devices.push_back(device_of(stream));
  }
  join(recording.branches[branch].before, mark->second.before);
  return add_node(recording, [number = mark->second.event, branch](Launch& launch) {
    return wait_for_event(launch.branches[branch], launch.events[number]);
  });
}

bool is_event_of_graph(cudaEvent_t event) { return marks.contains(event); }

void forget_event_of_graph(cudaEvent_t event) { marks.erase(event); }

std::optional<cudaError_t> refused_by_recording(cudaStream_t stream) {
  bool refused = false;
  const auto at = stream == nullptr ? std::nullopt : place_of(stream);
  for (auto& [number, recording] : recordings) {
    const bool this_one = (at && at->number == number) || forbids(recording);
    recording.spoiled |= this_one;
    refused |= this_one;
  }
  return refused ? std::optional(noted(cudaErrorStreamCaptureUnsupported)) : std::nullopt;
}

bool is_recorded(cudaStream_t stream) { return place_of(stream).has_value(); }

void forget_recordings() {
  recordings.clear();
  marks.clear();
}

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
  return instantiate(executable, graph);
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
  return destroy(executable);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const Lock lock(runtime_mutex());
  const auto at = graphs.find(graph);
  if (at == graphs.end() || nodes != nullptr) {  // only how many there are
    return noted(cudaErrorInvalidValue);
  }
  *count = at->second->pieces;
  return device_status();
}

}  // extern "C"
