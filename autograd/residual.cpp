#include "autograd/residual.h"

#include "kernels/residual.h"

namespace earmark {

Variable residual_relu(const Variable& a, const Variable& b) {
  const Tensor out = empty_like(a.value());
  kernels::residual_relu_forward({.a = a.value(), .b = b.value(), .out = out});
  return record("residual_relu", out, {a, b}, [out](const Tensor& dout) -> std::vector<Tensor> {
    const Tensor dsum = empty_like(out);
    kernels::residual_relu_backward({.out = out, .dout = dout, .dsum = dsum});
    return {dsum, dsum};
  });
}

}  // namespace earmark
