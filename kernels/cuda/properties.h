// What a GPU is called and how much of it is free. Callable from anywhere, as kernels/cuda/memory.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace earmark::kernels::cuda {

/// As the driver calls it: "NVIDIA H100 80GB HBM3".
std::string device_name(int index);

/// What no other GPU has, of this machine or another.
std::array<std::uint8_t, 16> device_identity(int index);

/// Bytes that allocate() could give now: what no one has taken, and what the pool keeps.
std::size_t free_bytes(int index);

}  // namespace earmark::kernels::cuda
