// Runs the blocks of a launch one after the other, each by turns: a warp's lanes until all wait or are done, warp by
// warp, until every thread is at the same barrier; then on.
#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "cudasim/control.h"
#include "fault.h"
#include "report.h"
#include "shared_memory.h"
#include "traffic.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{1, 1, 1};
constinit thread_local dim3 gridDim{1, 1, 1};
alignas(1024) constinit thread_local unsigned char CUDASIM_DYNAMIC_SHARED[cudasim::kMostSharedMemory]{};

namespace cudasim {

Block block;
const Launch* running_launch = nullptr;
constinit thread_local Lane* running_lane = nullptr;
constinit thread_local void* scheduler_stack = nullptr;

namespace {

using Random = std::mt19937_64;

/// Where every fiber begins: a thread's whole life, again and again.
void live() {
  for (;;) {
    Lane* lane = running_lane;
    running_launch->kernel.call(running_launch->kernel.parameters.get());
    lane->state = LaneState::done;
    leave_to_scheduler();
  }
}

inline void resume(Lane& lane) {
  if (lane.state == LaneState::fresh) {
    lane.fiber = take_fiber();
  }
  running_lane = &lane;
  threadIdx = lane.index;
  switch_to(&scheduler_stack, lane.fiber->stack_pointer);
  running_lane = nullptr;
  if (lane.state == LaneState::done) {
    give_fiber(lane.fiber);
    lane.fiber = nullptr;
  }
}

inline bool can_go_on(const Lane& lane) { return lane.state == LaneState::fresh || lane.state == LaneState::ready; }

/// Fills `order` with 0, 1, ... in the order of the configuration.
template <class T>
void arrange(std::vector<T>& order, std::size_t count, Random& random) {
  order.resize(count);
  std::iota(order.begin(), order.end(), T{0});
  if (config().order == Order::reverse) {
    std::reverse(order.begin(), order.end());
  } else if (config().order == Order::seeded) {
    std::shuffle(order.begin(), order.end(), random);
  }
}

void begin_block(const Launch& launch) {
  for (std::size_t i = 0; i < block.lanes.size(); ++i) {
    const auto thread = static_cast<unsigned>(i);
    Lane& lane = block.lanes[i];
    lane.index = {thread % launch.block.x, thread / launch.block.x % launch.block.y,
                  thread / (launch.block.x * launch.block.y)};
    lane.thread = static_cast<std::uint16_t>(thread);
    lane.lane = static_cast<std::uint8_t>(thread % 32);
    lane.state = LaneState::fresh;
    lane.fiber = nullptr;
  }
  for (Warp& warp : block.warps) {
    warp.gatherings.clear();
    warp.clock = 1;
    warp.whole = 0;
    warp.in_parts = false;
  }
  block.barriers = 1;
}

/// Runs the lanes of one warp until none can go on. False when that is the end of the launch.
bool run_warp(std::size_t number, Random& random) {
  static std::vector<unsigned> order;
  Lane* lanes = &block.lanes[number * 32];
  const auto count = static_cast<unsigned>(std::min<std::size_t>(32, block.lanes.size() - number * 32));
  for (bool progress = true; progress;) {
    progress = false;
    arrange(order, count, random);
    for (const unsigned i : order) {
      if (can_go_on(lanes[i])) {
        resume(lanes[i]);
        if (block.abandoned) {
          return false;
        }
        progress = true;
      }
    }
  }
  return !waits_in_vain(block.warps[number], lanes, count);
}

void report_barrier(Lane& lane, const std::string& text) {
  running_lane = &lane;
  report("barrier-divergence", text, lane.pc);
  running_lane = nullptr;
}

/// No thread can go on: lets all pass the barrier that they are at. False when they are not all at the same.
bool pass_barrier() {
  Lane* first = nullptr;
  std::size_t done = 0;
  for (Lane& lane : block.lanes) {
    if (lane.state == LaneState::done) {
      ++done;
    } else if (first == nullptr) {
      first = &lane;
    } else if (lane.barrier_line != first->barrier_line) {
      report_barrier(*first, "threads of one block wait at different __syncthreads: lines " +
                                 std::to_string(first->barrier_line) + " and " + std::to_string(lane.barrier_line));
      return false;
    }
  }
  if (done > 0 && first != nullptr) {
    report_barrier(*first, std::to_string(block.lanes.size() - done) + " threads wait at __syncthreads, " +
                               std::to_string(done) + " have left the kernel");
    return false;
  }
  for (Lane& lane : block.lanes) {
    lane.state = lane.state == LaneState::at_barrier ? LaneState::ready : lane.state;
  }
  ++block.barriers;
  return true;
}

bool all_done() {
  return std::all_of(block.lanes.begin(), block.lanes.end(),
                     [](const Lane& lane) { return lane.state == LaneState::done; });
}

bool run_block(const Launch& launch, Random& random) {
  static std::vector<std::size_t> order;
  begin_block(launch);
  while (!all_done()) {
    arrange(order, block.warps.size(), random);
    for (const std::size_t warp : order) {
      if (!run_warp(warp, random)) {
        return false;
      }
    }
    if (!all_done() && !pass_barrier()) {
      return false;
    }
  }
  return true;
}

/// A fiber's frames are bound to the OS thread that it began on.
void prepare_fibers() {
  static std::thread::id owner;
  if (owner != std::this_thread::get_id()) {
    owner = std::this_thread::get_id();
    reset_fibers(live);
    catch_faults_of_this_thread();
  }
}

void prepare(const Launch& launch) {
  prepare_fibers();
  const std::size_t threads = static_cast<std::size_t>(launch.block.x) * launch.block.y * launch.block.z;
  block.lanes.resize(threads);
  block.warps.resize((threads + 31) / 32);
  block.abandoned = false;
  blockDim = launch.block;
  gridDim = launch.grid;
  running_launch = &launch;
}

void enter_block(const Launch& launch, std::uint64_t number) {
  const std::uint64_t row = number / launch.grid.x;
  block.number = static_cast<std::uint32_t>(number);
  blockIdx = {static_cast<unsigned>(number % launch.grid.x), static_cast<unsigned>(row % launch.grid.y),
              static_cast<unsigned>(row / launch.grid.y)};
  std::memset(dynamic_shared(), 0xff, launch.shared);  // NaN, -1
}

}  // namespace

void abandon_launch() {
  block.abandoned = true;
  SimulatorsOwn::active = false;
  leave_to_scheduler();
  __builtin_unreachable();
}

void block_barrier(unsigned line) {
  Lane* lane = running_lane;
  if (lane == nullptr) {
    die("__syncthreads was called by host code");
  }
  lane->pc = __builtin_return_address(0);
  lane->barrier_line = line;
  lane->state = LaneState::at_barrier;
  leave_to_scheduler();
}

bool run_launch(const Launch& launch) {
  prepare(launch);
  Random random(config().seed ^ launch.work * 0x9e3779b97f4a7c15ULL);
  const std::uint64_t blocks = static_cast<std::uint64_t>(launch.grid.x) * launch.grid.y * launch.grid.z;
  std::vector<std::uint32_t> order;
  arrange(order, blocks, random);
  bool passed = true;
  for (std::size_t i = 0; i < order.size() && passed; ++i) {
    enter_block(launch, order[i]);
    passed = run_block(launch, random);
    if (traffic_recorded) {
      count_traffic(launch.kernel.kernel);
    }
  }
  if (!passed) {
    reset_fibers(live);
  }
  running_launch = nullptr;
  return passed;
}

}  // namespace cudasim
