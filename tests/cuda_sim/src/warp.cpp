// Warp operations: a lane that comes waits until all lanes of its mask are there; the last one works out all results.
#include <algorithm>
#include <bit>
#include <string>

#include "block.h"
#include "report.h"
#include "symbols.h"

namespace cudasim {
namespace {

constexpr std::uint32_t kAllLanes = 0xffffffffU;

template <class F>
void for_each_lane(std::uint32_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) {
    f(static_cast<unsigned>(std::countr_zero(mask)));
  }
}

bool is_shuffle(WarpOp op) { return op >= WarpOp::shuffle_index && op <= WarpOp::shuffle_xor; }

/// The lane that a shuffle reads: its own where the source would lie outside of its segment.
int source_of(const Lane& lane) {
  const int own = lane.lane;
  const int first = own & ~(lane.width - 1);
  int source = own;
  switch (lane.op) {
    case WarpOp::shuffle_index:
      source = first + (lane.operand & (lane.width - 1));
      break;
    case WarpOp::shuffle_up:
      source = own - lane.operand;
      break;
    default:
      source = own ^ lane.operand;
      break;
  }
  const bool inside = source < first + lane.width && (source >= first || lane.op == WarpOp::shuffle_xor);
  return inside ? source : own;
}

std::uint64_t shuffled(Lane& lane, const Lane* lanes, std::uint32_t mask) {
  const SimulatorsOwn scope;
  const int source = source_of(lane);
  if ((mask >> static_cast<unsigned>(source) & 1U) != 0) {
    return lanes[source].value;
  }
  Lane* const caller = running_lane;
  running_lane = &lane;
  report("warp-read-inactive", "shuffle reads lane " + std::to_string(source) + ", which is not in the mask", lane.pc);
  running_lane = caller;
  return 0x7ff7fff7fff7fff7ULL;  // NaN as a double and as two floats
}

/// What a vote or a reduction gives to all.
std::uint64_t common_result(WarpOp op, const Lane* lanes, std::uint32_t mask) {
  std::uint32_t ballot = 0;
  std::uint64_t least = lanes[std::countr_zero(mask)].value;
  std::uint64_t largest = least;
  for_each_lane(mask, [&](unsigned i) {
    ballot |= lanes[i].value != 0 ? 1U << i : 0U;
    least = std::min(least, lanes[i].value);
    largest = std::max(largest, lanes[i].value);
  });
  return op == WarpOp::ballot ? ballot : op == WarpOp::min ? least : largest;
}

/// What lanes of the mask did before is ordered before what any of them does from now on.
void pass_syncwarp(Warp& warp, std::uint32_t mask) {
  ++warp.clock;
  if (mask == kAllLanes) {
    warp.whole = warp.clock;
    return;
  }
  if (!warp.in_parts) {
    warp.in_parts = true;
    warp.pair = {};
  }
  for_each_lane(mask, [&](unsigned a) { for_each_lane(mask, [&](unsigned b) { warp.pair[a][b] = warp.clock; }); });
}

void complete(Warp& warp, Lane* lanes, std::uint32_t mask) {
  const WarpOp op = running_lane->op;
  if (op == WarpOp::sync) {
    pass_syncwarp(warp, mask);
  } else if (is_shuffle(op)) {
    for_each_lane(mask, [&](unsigned i) { lanes[i].result = shuffled(lanes[i], lanes, mask); });
  } else {
    const std::uint64_t result = common_result(op, lanes, mask);
    for_each_lane(mask, [&](unsigned i) { lanes[i].result = result; });
  }
  for_each_lane(mask, [&](unsigned i) { lanes[i].state = LaneState::ready; });
}

/// The lanes of `mask` that exist: a block's last warp may be short.
std::uint32_t existing(std::uint32_t mask, std::size_t first_lane) {
  const std::size_t count = block.lanes.size() - first_lane;
  return count >= 32 ? mask : mask & ((1U << count) - 1);
}

void check_call(const Lane& lane, unsigned mask, int width, const void* pc) {
  const SimulatorsOwn scope;
  if ((mask >> lane.lane & 1U) == 0) {
    fail_kernel("warp-mask", "the calling lane is not in its own mask", pc);
  }
  if (width <= 0 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width))) {
    fail_kernel("warp-width", "a shuffle's width is 1, 2, 4, 8, 16 or 32, not " + std::to_string(width), pc);
  }
}

/// The lanes that wait with this mask already, or a new gathering.
Gathering& gathering_of(Warp& warp, std::uint32_t mask) {
  const auto at =
      std::find_if(warp.gatherings.begin(), warp.gatherings.end(), [&](const Gathering& g) { return g.mask == mask; });
  return at != warp.gatherings.end() ? *at : warp.gatherings.emplace_back(Gathering{mask, 0});
}

const char* whereabouts(const Lane& lane) {
  switch (lane.state) {
    case LaneState::done:
      return " (has left the kernel)";
    case LaneState::at_barrier:
      return " (at __syncthreads)";
    default:
      return " (in another warp operation)";
  }
}

}  // namespace

std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t value, int operand, int width) {
  Lane* const lane = running_lane;
  if (lane == nullptr) {
    die("a warp intrinsic was called by host code");
  }
  const void* const pc = __builtin_return_address(0);
  check_call(*lane, mask, width, pc);
  const std::size_t number = lane->thread / 32U;
  Warp& warp = block.warps[number];
  Lane* const lanes = &block.lanes[number * 32];
  lane->op = op;
  lane->mask = existing(mask, number * 32);
  lane->value = value;
  lane->operand = operand;
  lane->width = width;
  lane->pc = pc;
  Gathering& gathering = gathering_of(warp, lane->mask);
  if (gathering.arrived != 0 && lanes[std::countr_zero(gathering.arrived)].op != op) {
    const SimulatorsOwn scope;
    fail_kernel("warp-divergence",
                "lanes of one mask call different warp intrinsics: others wait at " +
                    line_of(lanes[std::countr_zero(gathering.arrived)].pc),
                pc);
  }
  gathering.arrived |= 1U << lane->lane;
  if (gathering.arrived == lane->mask) {
    gathering = warp.gatherings.back();
    warp.gatherings.pop_back();
    complete(warp, lanes, lane->mask);
    return lane->result;
  }
  lane->state = LaneState::in_warp_operation;
  leave_to_scheduler();
  return lane->result;
}

bool waits_in_vain(Warp& warp, Lane* lanes, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    if (lanes[i].state != LaneState::in_warp_operation) {
      continue;
    }
    std::string missing;
    for_each_lane(lanes[i].mask & ~gathering_of(warp, lanes[i].mask).arrived, [&](unsigned k) {
      if (missing.size() < 120) {
        missing += (missing.empty() ? " " : ", ") + std::to_string(k) + whereabouts(lanes[k]);
      } else if (!missing.ends_with("...")) {
        missing += ", ...";
      }
    });
    running_lane = &lanes[i];
    report("warp-deadlock", "a warp intrinsic waits for lanes of its mask that never come:" + missing, lanes[i].pc);
    running_lane = nullptr;
    return true;
  }
  return false;
}

}  // namespace cudasim
