// Mistakes planted in small kernels and small programs, each with its twin that does the same without the mistake.
#pragma once

#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

#include "simulator.h"

namespace cudasim::testing {

struct Plant {
  std::string name;          ///< Also the comment at the end of the line that reports must name, if `marked`.
  void (*run)(bool broken);  ///< Plants it, or runs the twin.
  std::vector<std::string>
      kinds;  ///< Of the reports: the one that is expected, and those that may come with or instead of it.
  std::vector<std::string> says{};  ///< What the report's text contains.
  std::string fast_kind{};          ///< What the fast build reports; "" where it may be blind.
  bool marked = true;               ///< False for mistakes of the host: reports then have no line in a kernel.
  const char* file = nullptr;       ///< Filled in by Plants.
};
inline void PrintTo(const Plant& plant, std::ostream* out) { *out << plant.name; }

/// A file's plants: an object at its end hands them to the tests of planted.cpp.
class Plants {
 public:
  Plants(const char* file, std::initializer_list<Plant> plants);
};

}  // namespace cudasim::testing
