#include "autograd/layer_norm.h"

#include "autograd/reduction_groups.h"
#include "kernels/layer_norm.h"

namespace earmark {
namespace {

/// Gradients of gamma and beta; that of x is written to dx, which may be dout.
std::vector<Tensor> affine_gradients(const kernels::LayerNormForward& f, const Tensor& dout, const Tensor& dx,
                                     const ReductionGroups& groups) {
  return groups.sum(f.x.dim(0), [&](const RowRange& group) {
    kernels::LayerNormForward part = f;
    part.x = group.of(f.x);
    part.mean = group.of(f.mean);
    part.inverse_deviation = group.of(f.inverse_deviation);
    const std::vector<Tensor> sums{empty_like(f.gamma), empty_like(f.beta)};
    kernels::layer_norm_backward(
        {.forward = part, .dout = group.of(dout), .dx = group.of(dx), .dgamma = sums[0], .dbeta = sums[1]});
    return sums;
  });
}

}  // namespace

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
  return record("layer_norm", out, {x, gamma, beta},
                [f, groups = ReductionGroups::current()](const Tensor& dout) -> std::vector<Tensor> {
                  const Tensor dx = reuse(dout);
                  const std::vector<Tensor> sums = affine_gradients(f, dout, dx, groups);
                  return {dx, sums[0], sums[1]};
                });
}

}  // namespace earmark
