#include "autograd/layer_norm.h"

#include "kernels/layer_norm.h"

namespace earmark {

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, const LayerNormOptions& options) {
  const Tensor& value = x.value();
  check(value.shape().rank() >= 2, "layer norm: expected samples (N, ...), got ", value.shape());
  const auto per_sample = [&] { return Tensor({value.dim(0)}, gamma.value().dtype(), value.device()); };
  kernels::LayerNormForward f{.x = value,
                              .gamma = gamma.value(),
                              .beta = beta.value(),
                              .elu = options.elu,
                              .epsilon = options.epsilon,
                              .out = empty_like(value),
                              .mean = per_sample(),
                              .inverse_deviation = per_sample()};
  kernels::layer_norm_forward(f);
  const Tensor out = f.out;
  f.out = {};  // not needed by backward
  return record("layer_norm", out, {x, gamma, beta}, [f](const Tensor& dout) -> std::vector<Tensor> {
    const kernels::LayerNormBackward b{
        .forward = f, .dout = dout, .dx = reuse(dout), .dgamma = empty_like(f.gamma), .dbeta = empty_like(f.beta)};
    kernels::layer_norm_backward(b);
    return {b.dx, b.dgamma, b.dbeta};
  });
}

}  // namespace earmark
