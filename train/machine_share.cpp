#include "train/machine_share.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <tuple>

#include "kernels/error.h"

namespace earmark::train {
namespace {

/// A processor's place in the machine; all the same where the system does not tell.
std::tuple<int, int, int> place_of(int processor) {
  const std::string folder = str("/sys/devices/system/cpu/cpu", processor, "/topology/");
  int socket = 0;
  int core = 0;
  std::ifstream(folder + "physical_package_id") >> socket;
  std::ifstream(folder + "core_id") >> core;
  return {socket, core, processor};
}

}  // namespace

int threads_of_part(int threads, int index, int parts) {
  return std::max(1, threads * (index + 1) / parts - threads * index / parts);
}

std::vector<int> processors_by_core() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<std::tuple<int, int, int>> places;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (CPU_ISSET(static_cast<std::size_t>(processor), &allowed)) {
        places.push_back(place_of(processor));
      }
    }
  }
  std::sort(places.begin(), places.end());
  std::vector<int> processors;
  processors.reserve(places.size());
  for (const auto& place : places) {
    processors.push_back(std::get<2>(place));
  }
  return processors;
}

std::vector<std::string> gpu_names(int count, const char* visible) {
  std::vector<std::string> names;
  if (visible != nullptr) {
    std::istringstream list(visible);
    for (std::string name; static_cast<int>(names.size()) < count && std::getline(list, name, ',');) {
      names.push_back(name);
    }
    return names;
  }
  for (int index = 0; index < count; ++index) {
    names.push_back(std::to_string(index));
  }
  return names;
}

}  // namespace earmark::train
