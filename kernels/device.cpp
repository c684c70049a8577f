#include "kernels/device.h"

#include <ostream>

#include "kernels/dispatch.h"
#include "kernels/error.h"

namespace earmark {

std::ostream& operator<<(std::ostream& out, Device device) {
  if (device.backend == Backend::cpu) {
    return out << "cpu";
  }
  return out << "cuda:" << device.index;
}

Device parse_device(std::string_view text) {
  if (text == "cpu" || text == "auto") {
    return {};
  }
  check(text.starts_with("cuda"), "device: expected cpu, cuda or auto, got '", text, "'");
  fail("device '", text, "': this build has no CUDA backend; use --device cpu");
}

}  // namespace earmark
