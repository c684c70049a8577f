// Reorders axes: out[i_axes[0], i_axes[1], ...] = x[i_0, i_1, ...]; axis k of `out` is axis axes[k] of x, as in NumPy.
#pragma once

#include <array>
#include <span>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// x (any shape of up to six axes, any type) -> out (the permuted shape, same type), sharing no memory.
/// Throws Error when `axes` is not a permutation of x's axes.
void permute(const Tensor& x, std::span<const int> axes, const Tensor& out);

/// The shape permute() gives.
Shape permuted(const Shape& shape, std::span<const int> axes);

/// A permutation with its axes of extent 1 dropped and runs that stay together joined: axis k of the result has extent
/// extent[k] and steps x by stride[k] elements. x's innermost axis becomes axis `innermost` of the result.
struct PermutePlan {
  std::size_t rank = 0;
  std::size_t innermost = 0;
  std::array<std::int64_t, Shape::kMaxRank> extent{};
  std::array<std::int64_t, Shape::kMaxRank> stride{};
};
PermutePlan plan_permute(const Shape& shape, std::span<const int> axes);

namespace cpu {
void permute(const Tensor& x, const PermutePlan& plan, const Tensor& out);
}
namespace cuda {
void permute(const Tensor& x, const PermutePlan& plan, const Tensor& out);
}

}  // namespace earmark::kernels
