#include "kernels/device.h"

#include <charconv>
#include <ostream>
#include <string>
#include <system_error>

#include "kernels/dispatch.h"
#include "kernels/error.h"

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

/// "cuda" is 0, "cuda:1" is 1.
int cuda_index(std::string_view text) {
  constexpr std::string_view kName = "cuda";
  int index = 0;
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
  if (text == "cpu") {
    return {};
  }
  if (text == "auto") {
    return cuda_devices(nullptr) > 0 ? Device{Backend::cuda, 0} : Device{};
  }
  const int index = cuda_index(text);
  std::string why;
  const int count = cuda_devices(&why);
  check(count > 0, "device '", text, "': ", why, "; use --device cpu");
  check(index < count, "device '", text, "': this machine has ", count, count == 1 ? " GPU" : " GPUs",
        ", counted from cuda:0");
  return {Backend::cuda, index};
}

}  // namespace earmark
