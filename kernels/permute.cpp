#include "kernels/permute.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_permutation(const Shape& shape, std::span<const int> axes) {
  std::vector<int> sorted(axes.begin(), axes.end());
  std::ranges::sort(sorted);
  bool complete = sorted.size() == shape.rank();
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    complete = complete && sorted[i] == static_cast<int>(i);
  }
  check(complete, "permute: ", axes.size(), " axes that are not a permutation of those of ", shape);
}

}  // namespace

Shape permuted(const Shape& shape, std::span<const int> axes) {
  check_permutation(shape, axes);
  std::vector<std::int64_t> dims;
  for (const int axis : axes) {
    dims.push_back(shape[axis]);
  }
  return Shape(std::span<const std::int64_t>(dims));
}

PermutePlan plan_permute(const Shape& shape, std::span<const int> axes) {
  check_permutation(shape, axes);
  std::array<std::int64_t, Shape::kMaxRank> strides{};
  std::int64_t step = 1;
  for (int i = static_cast<int>(shape.rank()) - 1; i >= 0; --i) {
    strides.at(static_cast<std::size_t>(i)) = step;
    step *= shape[i];
  }
  PermutePlan plan;
  for (const int axis : axes) {
    const std::int64_t extent = shape[axis];
    const std::int64_t stride = strides.at(static_cast<std::size_t>(axis));
    if (extent == 1) {
      continue;
    }
    if (plan.rank > 0 && plan.stride.at(plan.rank - 1) == extent * stride) {  // stays behind its neighbour
      plan.extent.at(plan.rank - 1) *= extent;
      plan.stride.at(plan.rank - 1) = stride;
      continue;
    }
    plan.extent.at(plan.rank) = extent;
    plan.stride.at(plan.rank) = stride;
    ++plan.rank;
  }
  plan.innermost = static_cast<std::size_t>(std::ranges::find(plan.stride, 1) - plan.stride.begin());
  return plan;
}

void permute(const Tensor& x, std::span<const int> axes, const Tensor& out) {
  check(out.shape() == permuted(x.shape(), axes), "permute: ", x.shape(), " gives ", permuted(x.shape(), axes),
        ", not ", out.shape());
  check(out.dtype() == x.dtype(), "permute: types differ: ", name_of(x.dtype()), " and ", name_of(out.dtype()));
  check(out.device() == x.device(), "permute: operands are on ", x.device(), " and ", out.device());
  run_on<cpu::permute, cuda::permute>(x.device(), x, plan_permute(x.shape(), axes), out);
}

}  // namespace earmark::kernels
