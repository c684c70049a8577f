// Where a tensor lives. The CPU is a full device; CUDA takes its place beside it.
#pragma once

#include <iosfwd>
#include <string_view>

namespace earmark {

enum class Backend { cpu, cuda };

struct Device {
  Backend backend = Backend::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

/// "cpu" or "cuda:<index>".
std::ostream& operator<<(std::ostream& out, Device device);

/// Parses "cpu", "cuda", "cuda:1" or "auto" (CUDA where it works, else the CPU). Throws Error on anything else, and
/// where CUDA is asked for but this build has none, no driver or GPU is there, or the index is beyond the last GPU.
Device parse_device(std::string_view text);

}  // namespace earmark
