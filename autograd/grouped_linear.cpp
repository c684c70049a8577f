#include "kernels/grouped_linear.h"

#include "autograd/functions.h"

namespace earmark {

Variable grouped_linear(const Variable& x, const Variable& w, const Variable& b, kernels::Activation activation) {
  check(x.shape().rank() == 3 && w.shape().rank() == 3, "grouped_linear: expected x (N, G, I) and w (G, O, I), got ",
        x.shape(), " and ", w.shape());
  const Tensor out({x.value().dim(0), x.value().dim(1), w.value().dim(1)}, x.value().dtype(), x.value().device());
  const kernels::GroupedLinear forward{x.value(), w.value(), b.value(), out, activation};
  kernels::grouped_linear(forward);
  return record("grouped_linear", out, {x, w, b}, [forward, wanted = x.requires_grad()](const Tensor& dout) {
    const Tensor dx = wanted ? empty_like(forward.x) : Tensor();
    const Tensor dw = empty_like(forward.w);
    const Tensor db = empty_like(forward.b);
    kernels::grouped_linear_backward({forward, dout, dx, dw, db});
    return std::vector{dx, dw, db};
  });
}

}  // namespace earmark
