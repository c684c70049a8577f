// The block that runs: its threads, what they wait for, and the clocks that tell which of their accesses are ordered.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fiber.h"

namespace cudasim {

/// One launch of a kernel.
struct Launch {
  KernelCall kernel;
  dim3 grid;
  dim3 block;
  std::size_t shared = 0;  ///< Bytes of dynamic shared memory.
  std::uint32_t work = 0;  ///< Its number among the pieces of work of all streams.
  int device = 0;
};

enum class LaneState : std::uint8_t { fresh, ready, at_barrier, in_warp_operation, done };

/// A thread.
struct Lane {
  uint3 index;
  std::uint16_t thread;  ///< Linear index in the block.
  std::uint8_t lane;
  LaneState state;
  Fiber* fiber;
  // What it waits in:
  const void* pc;
  unsigned barrier_line;
  WarpOp op;
  std::uint32_t mask;
  std::uint64_t value;
  std::uint64_t result;
  int operand;
  int width;
};

/// Lanes that have come to a warp operation with this mask.
struct Gathering {
  std::uint32_t mask;
  std::uint32_t arrived;
};

struct Warp {
  std::vector<Gathering> gatherings;
  std::uint32_t clock = 1;  ///< Counts __syncwarps.
  std::uint32_t whole = 0;  ///< The clock after the last one of all lanes.
  bool in_parts = false;    ///< Some were of fewer lanes: `pair` holds the last clock that each two had in common.
  std::array<std::array<std::uint32_t, 32>, 32> pair;
};

struct Block {
  std::vector<Lane> lanes;
  std::vector<Warp> warps;
  std::uint32_t number = 0;  ///< In the grid.
  std::uint32_t barriers = 1;
  bool abandoned = false;
};

extern Block block;
extern const Launch* running_launch;                  ///< Or none.
extern constinit thread_local Lane* running_lane;     ///< Not null: this OS thread executes device code.
extern constinit thread_local void* scheduler_stack;  ///< Where the scheduler goes on.

/// Runs all blocks. False when a report ended the launch.
bool run_launch(const Launch& launch);

__attribute__((always_inline)) inline void leave_to_scheduler() {
  switch_to(&running_lane->fiber->stack_pointer, scheduler_stack);
}

/// Ends the launch from inside a kernel.
[[noreturn]] void abandon_launch();

/// The point of a thread's life at which it does something.
struct Moment {
  std::uint32_t work = 0;
  std::uint32_t block = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_clock = 0;
  std::uint16_t thread = 0;
};

inline Moment now() {
  const Lane& lane = *running_lane;
  return {running_launch->work, block.number, block.barriers, block.warps[lane.thread / 32U].clock, lane.thread};
}

/// Whether two threads of the running block have met in a __syncwarp since the warp's clock showed `since`.
inline bool met_in_warp(std::uint16_t a, std::uint16_t b, std::uint32_t since) {
  if (a / 32 != b / 32) {
    return false;
  }
  const Warp& warp = block.warps[a / 32U];
  return warp.whole > since || (warp.in_parts && warp.pair[a % 32U][b % 32U] > since);
}

/// Whether some lane of the warp waits for others that cannot come; says so.
bool waits_in_vain(Warp& warp, Lane* lanes, unsigned count);

}  // namespace cudasim
