// Barriers, and what the lanes of a warp do together.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

/// Inlined at whatever level of optimisation: the simulator's functions are called from the kernel's own lines, which
/// is what reports then name.
#define CUDASIM_IN_KERNEL __attribute__((always_inline)) inline

namespace cudasim {

enum class WarpOp : unsigned char {
  sync,
  shuffle_index,
  shuffle_up,
  shuffle_xor,
  ballot,
  min,
  max,
};

/// Waits until all lanes of `mask` have called it with the same operation, and gives each its result. `operand` and
/// `width` are a shuffle's lane, distance or lane mask and its segment.
std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t value, int operand, int width);

/// Waits for all threads of the block. `line` tells barriers apart: the compiler may merge or duplicate calls, so
/// return addresses cannot.
void block_barrier(unsigned line);

template <class T>
std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const void*>(&value), sizeof(T));
  return bits;
}

template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

template <class T>
CUDASIM_IN_KERNEL T shuffle(WarpOp op, unsigned mask, T value, int operand, int width) {
  return from_bits<T>(warp_operation(op, mask, to_bits(value), operand, width));
}

CUDASIM_IN_KERNEL unsigned combine(WarpOp op, unsigned mask, unsigned value) {
  return static_cast<unsigned>(warp_operation(op, mask, value, 0, 32));
}

}  // namespace cudasim

CUDASIM_IN_KERNEL void __syncthreads(unsigned line = __builtin_LINE()) { cudasim::block_barrier(line); }
CUDASIM_IN_KERNEL void __syncwarp(unsigned mask = 0xffffffffU) {
  cudasim::warp_operation(cudasim::WarpOp::sync, mask, 0, 0, 32);
}

template <class T>
CUDASIM_IN_KERNEL T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return cudasim::shuffle(cudasim::WarpOp::shuffle_index, mask, value, lane, width);
}
template <class T>
CUDASIM_IN_KERNEL T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
  return cudasim::shuffle(cudasim::WarpOp::shuffle_up, mask, value, static_cast<int>(distance), width);
}
template <class T>
CUDASIM_IN_KERNEL T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  return cudasim::shuffle(cudasim::WarpOp::shuffle_xor, mask, value, lanes, width);
}

CUDASIM_IN_KERNEL unsigned __ballot_sync(unsigned mask, int predicate) {
  return cudasim::combine(cudasim::WarpOp::ballot, mask, static_cast<unsigned>(predicate != 0));
}
CUDASIM_IN_KERNEL unsigned __reduce_min_sync(unsigned mask, unsigned v) {
  return cudasim::combine(cudasim::WarpOp::min, mask, v);
}
CUDASIM_IN_KERNEL unsigned __reduce_max_sync(unsigned mask, unsigned v) {
  return cudasim::combine(cudasim::WarpOp::max, mask, v);
}
