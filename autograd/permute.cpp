#include "kernels/permute.h"

#include "autograd/functions.h"

namespace earmark {
namespace {

Tensor reordered(const Tensor& x, std::span<const int> axes) {
  const Tensor out(kernels::permuted(x.shape(), axes), x.dtype(), x.device());
  kernels::permute(x, axes, out);
  return out;
}

}  // namespace

Variable permute(const Variable& x, std::span<const int> axes) {
  const Tensor out = reordered(x.value(), axes);
  std::vector<int> back(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    back[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
  }
  return record("permute", out, {x}, [back](const Tensor& dout) { return std::vector{reordered(dout, back)}; });
}

Variable reshape(const Variable& x, const Shape& shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [before = x.shape()](const Tensor& dout) { return std::vector{dout.reshape(before)}; });
}

}  // namespace earmark
