#include "kernels/cuda/launch_log.h"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "kernels/cuda/status.h"

namespace earmark::kernels::cuda {
namespace {

thread_local std::vector<const void*>* recorded = nullptr;

/// Without scopes and parameters: "void earmark::kernels::cuda::(anonymous namespace)::scale_kernel<float>(float*)" is
/// "scale_kernel<float>".
std::string short_name(std::string name) {
  for (const std::string_view scope :
       {"void ", "(anonymous namespace)::", "earmark::kernels::cuda::", "earmark::kernels::", "earmark::"}) {
    for (std::size_t at = name.find(scope); at != std::string::npos; at = name.find(scope, at)) {
      name.erase(at, scope.size());
    }
  }
  int depth = 0;
  const auto end = std::find_if(name.begin(), name.end(), [&](char c) {
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    return c == '(' && depth == 0;
  });
  name.erase(end, name.end());
  return name;
}

/// The driver then waits for every kernel before the launch returns: all but the last have finished.
bool launches_block() {
  static const bool block = [] {
    const char* const value = std::getenv("CUDA_LAUNCH_BLOCKING");
    return value != nullptr && std::string_view(value) == "1";
  }();
  return block;
}

/// Never throws: what failed is to be told.
int launching_device() {
  int device = 0;
  static_cast<void>(cudaGetDevice(&device));
  return device;
}

/// For each stream the kernels that no wait has come after, each once: a program has some hundred, however often it
/// starts them. Kernels are known by the address of their function, library calls by that of their name.
class LaunchLog {
 public:
  void add(int device, cudaStream_t stream, const void* kernel, const char* name) {
    const std::scoped_lock lock(mutex_);
    std::vector<Entry>& entries = streams_[{device, stream}];
    if (launches_block()) {
      entries.clear();
    }
    ++position_;
    const auto at = std::ranges::find(entries, kernel, &Entry::kernel);
    if (at != entries.end()) {
      at->last = position_;
      return;
    }
    if (!names_.contains(kernel)) {
      names_.emplace(kernel, name != nullptr ? name : short_name(name_of_kernel(kernel)));
    }
    entries.push_back({kernel, position_});
  }

  /// A kernel that takes part in a graph: its name must be known before the graph fails.
  void introduce(const void* kernel, const char* name) {
    const std::scoped_lock lock(mutex_);
    names_.try_emplace(kernel, name != nullptr ? name : short_name(name_of_kernel(kernel)));
  }

  std::uint64_t position() {
    const std::scoped_lock lock(mutex_);
    return position_;
  }

  void finish(const LaunchMark& mark) {
    const std::scoped_lock lock(mutex_);
    if (const auto at = streams_.find({mark.device, mark.stream}); at != streams_.end()) {
      std::erase_if(at->second, [&](const Entry& entry) { return entry.last <= mark.position; });
      if (at->second.empty()) {  // its stream may be gone
        streams_.erase(at);
      }
    }
  }

  void finish_all(int device) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(streams_, [&](const auto& stream) { return stream.first.first == device; });
  }

  std::vector<std::string> names() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [stream, entries] : streams_) {
      for (const Entry& entry : entries) {
        const std::string& name = names_.at(entry.kernel);
        if (std::ranges::find(out, name) == out.end()) {
          out.push_back(name);
        }
      }
    }
    return out;
  }

 private:
  struct Entry {
    const void* kernel;
    std::uint64_t last;  // its last launch
  };

  std::mutex mutex_;
  std::uint64_t position_ = 0;  // of the last launch, over all streams: a handle may come back as another stream
  std::map<std::pair<int, cudaStream_t>, std::vector<Entry>> streams_;
  std::map<const void*, std::string> names_;
};

LaunchLog& launch_log() {
  static LaunchLog* const instance = new LaunchLog;  // never destroyed: static tensors may be released after it
  return *instance;
}

void note(const void* kernel, const char* name, cudaStream_t stream) {
  if (recorded == nullptr) {
    return launch_log().add(launching_device(), stream, kernel, name);
  }
  if (std::ranges::find(*recorded, kernel) == recorded->end()) {
    launch_log().introduce(kernel, name);
    recorded->push_back(kernel);
  }
}

}  // namespace

std::string name_of_kernel(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) {
    return "a kernel";
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 ? name.get() : mangled;
}

void note_launch(const void* kernel, cudaStream_t stream) { note(kernel, nullptr, stream); }
void note_call(const char* name, cudaStream_t stream) { note(name, name, stream); }
void note_launches(const std::vector<const void*>& launches, cudaStream_t stream) {
  for (const void* kernel : launches) {
    note(kernel, nullptr, stream);
  }
}

LaunchRecording::LaunchRecording(std::vector<const void*>& launches) {
  launches.clear();
  recorded = &launches;
}
LaunchRecording::~LaunchRecording() { recorded = nullptr; }

LaunchMark mark_launches(cudaStream_t stream) { return {launching_device(), stream, launch_log().position()}; }
void note_finished(const LaunchMark& mark) { launch_log().finish(mark); }
void note_all_finished() { launch_log().finish_all(launching_device()); }

std::string suspects() {
  std::string out;
  for (const std::string& name : launch_log().names()) {
    out += (out.empty() ? "" : ", ") + name;
  }
  if (out.empty()) {
    return out;
  }
  return "; it failed in one of the kernels queued since the last wait: " + out +
         (launches_block() ? "" : " (CUDA_LAUNCH_BLOCKING=1 finds out which)");
}

}  // namespace earmark::kernels::cuda
