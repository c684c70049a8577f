#include "kernels/device.h"

#include <charconv>
#include <ostream>
#include <string>
#include <system_error>

#include "kernels/cuda/properties.h"
#include "kernels/device_choice.h"
#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/tensor.h"

namespace earmark {
namespace {

/// The GPUs that can be used; where there are none, `why` says why not.
int cuda_devices(std::string* why) {
  if constexpr (kBuiltWithCuda) {
    return kernels::cuda::device_count(why);
  }
  if (why != nullptr) {
    *why = "this build has no CUDA backend";
  }
  return 0;
}

/// What keeps GPU `index` from computing anything at all, such as a card too old for this build or memory that others
/// have taken; empty where nothing does.
std::string problem_of(int index) {
  try {
    const Device device{Backend::cuda, index};
    const Tensor one = Tensor::full({1}, 1, DType::f32, device);
    return one.item() == 1 ? "" : "it computes wrong results";
  } catch (const Error& error) {
    return error.what();
  }
}

/// "cuda" is `usual`, "cuda:1" is 1.
int cuda_index(std::string_view text, int usual) {
  constexpr std::string_view kName = "cuda";
  int index = usual;
  bool valid = text == kName;
  if (text.starts_with("cuda:")) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + kName.size() + 1, end, index);
    valid = parsed.ec == std::errc() && parsed.ptr == end && index >= 0;
  }
  check(valid, "device: expected cpu, cuda, cuda:<index> or auto, got '", text, "'");
  return index;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.backend == Backend::cpu) {
    return out << "cpu";
  }
  return out << "cuda:" << device.index;
}

Device parse_device(std::string_view text) {
  std::string why_cpu;
  return choose_device(text, why_cpu);
}

Device choose_device(std::string_view text, std::string& why_cpu, int local_rank) {
  if (text == "cpu") {
    return {};
  }
  std::string why;
  const int count = text == "auto" || text.starts_with("cuda") ? cuda_devices(&why) : 0;
  const int usual = count > 0 ? local_rank % count : 0;  // where launch has divided the GPUs they are few
  if (text == "auto") {
    why_cpu = count > 0 ? problem_of(usual) : why;
    return why_cpu.empty() ? Device{Backend::cuda, usual} : Device{};
  }
  const int index = cuda_index(text, usual);
  check(count > 0, "device '", text, "': ", why, "; use --device cpu");
  check(index < count, "device '", text, "': this machine has ", count, count == 1 ? " GPU" : " GPUs",
        ", counted from cuda:0");
  const std::string problem = problem_of(index);
  check(problem.empty(), "device '", text, "' does not work: ", problem, "; use --device cpu");
  return {Backend::cuda, index};
}

int gpu_count() { return cuda_devices(nullptr); }

bool has_cuda_backend() { return kBuiltWithCuda; }

std::string describe(Device device) {
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      return str(device, " (", kernels::cuda::device_name(device.index), ")");
    }
  }
  return str(device);
}

std::size_t free_memory(Device device) {
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      return kernels::cuda::free_bytes(device.index);
    }
  }
  fail("free memory: expected a GPU, got ", device);
}

}  // namespace earmark
