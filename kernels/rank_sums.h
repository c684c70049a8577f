// Sums over ranks as every communicator of the host's memory takes them, so that all have the same bits: in the order
// of the ranks, in double, or in pairs (kernels/communicator.h).
#pragma once

#include <cstddef>
#include <span>

#include "kernels/communicator.h"

namespace earmark {

/// out = the sum or the mean of `parts`, one of each rank in their order, `out.size()` bytes of f32 or f64 each. `out`
/// may be one of them.
void combine_ranks(DType dtype, std::span<const std::byte* const> parts, Combine how, std::span<std::byte> out);

/// The bytes of a tensor that ranks exchange. Throws Error where it is not in the host's memory.
std::span<std::byte> host_bytes(const Tensor& t);
/// These throw Error where ranks cannot add up such tensors, so many ranks cannot add up in pairs, and where `whole` is
/// not `size` times `part`.
void check_summable(const Tensor& t, DType dtype);
void check_combine(Combine how, int size);
void check_part(const Tensor& part, const Tensor& whole, int size);

}  // namespace earmark
