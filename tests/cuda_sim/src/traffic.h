// Counts what kernels ask of global and shared memory, per source line.
#pragma once

#include <cstdint>

#include "cudasim/control.h"

namespace cudasim {

struct TrafficAccess {
  const void* pc;
  std::uintptr_t address;
  std::uint8_t lane;
  std::uint8_t width;
  Space space;
  bool write;
  bool atomic;
};

/// Whether accesses are to be noted: the one thing that the access hooks look at.
extern bool traffic_recorded;

/// Notes an access of a warp of the block that runs.
void note_traffic(unsigned warp, const TrafficAccess& access);

/// The block of `kernel` is done: its warps' accesses become requests and are added up.
void count_traffic(const void* kernel);

}  // namespace cudasim
