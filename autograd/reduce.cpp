#include "kernels/reduce.h"

#include "autograd/functions.h"
#include "autograd/reduction_groups.h"

namespace earmark {
namespace {

/// The gradient of every element is factor * dout ().
Backward spread(const Tensor& x, double factor) {
  return [shape = x.shape(), factor](const Tensor& dout) {
    const Tensor dx(shape, dout.dtype(), dout.device());
    kernels::repeat(dout, factor, dx);
    return std::vector{dx};
  };
}

}  // namespace

Variable sum(const Variable& x) {
  ReductionGroups::refuse("sum");
  const Tensor out({}, x.value().dtype(), x.value().device());
  kernels::sum(x.value(), out);
  return record("sum", out, {x}, spread(x.value(), 1));
}

Variable mean(const Variable& x) {
  ReductionGroups::refuse("mean");
  const Tensor out({}, x.value().dtype(), x.value().device());
  kernels::mean(x.value(), out);
  return record("mean", out, {x}, spread(x.value(), 1 / static_cast<double>(x.value().numel())));
}

}  // namespace earmark
