#include "kernels/normalize.h"

#include "autograd/functions.h"

namespace earmark {

Variable l2_normalize(const Variable& x, double epsilon) {
  check(x.shape().rank() == 2, "l2_normalize: expected rows (N, D), got ", x.shape());
  const Tensor out = empty_like(x.value());
  const Tensor norm({x.value().dim(0)}, out.dtype(), out.device());
  kernels::l2_normalize({x.value(), out, norm, epsilon});
  return record("l2_normalize", out, {x}, [out, norm, epsilon](const Tensor& dout) {
    const Tensor dx = reuse(dout);
    kernels::l2_normalize_backward({out, norm, dout, dx, epsilon});
    return std::vector{dx};
  });
}

}  // namespace earmark
