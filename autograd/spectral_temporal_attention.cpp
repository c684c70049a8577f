#include "autograd/spectral_temporal_attention.h"

#include <utility>

#include "kernels/compute_type.h"

namespace earmark {

kernels::AttentionForward attention_forward(const Tensor& x, const kernels::AttentionPrologue& prologue,
                                            const Variable& w_spectral, const Variable& w_temporal,
                                            const AttentionOptions& options) {
  check(x.shape().rank() == 4, "attention: x must be (N, F, T, C), got ", x.shape());
  const DType softmax_type = compute_type(x.dtype());
  kernels::AttentionForward f{.x = x,
                              .prologue = prologue,
                              .w_spectral = w_spectral.value(),
                              .w_temporal = w_temporal.value(),
                              .tanh_logits = options.tanh_logits,
                              .scale = options.scale,
                              .out = empty_like(x),
                              .spectral = Tensor({x.dim(0), x.dim(1), x.dim(3)}, softmax_type, x.device()),
                              .temporal = Tensor({x.dim(0), x.dim(2), x.dim(3)}, softmax_type, x.device())};
  kernels::spectral_temporal_attention_forward(f);
  return f;
}

kernels::AttentionForward of_group(const kernels::AttentionForward& f, const RowRange& group) {
  kernels::AttentionForward part = f;
  part.x = group.of(f.x);
  part.prologue.residual = group.of(f.prologue.residual);
  part.spectral = group.of(f.spectral);
  part.temporal = group.of(f.temporal);
  return part;
}

Variable spectral_temporal_attention(const Variable& x, const Variable& w_spectral, const Variable& w_temporal,
                                     const AttentionOptions& options) {
  kernels::AttentionForward f = attention_forward(x.value(), {}, w_spectral, w_temporal, options);
  const Tensor out = std::exchange(f.out, {});  // not needed by backward
  return record("spectral_temporal_attention", out, {x, w_spectral, w_temporal},
                [f, groups = ReductionGroups::current()](const Tensor& dout) -> std::vector<Tensor> {
                  const Tensor dx = empty_like(f.x);
                  const std::vector<Tensor> sums = groups.sum(f.x.dim(0), [&](const RowRange& group) {
                    const kernels::AttentionBackward b{.forward = of_group(f, group),
                                                       .dout = group.of(dout),
                                                       .dx = group.of(dx),
                                                       .dw_spectral = empty_like(f.w_spectral),
                                                       .dw_temporal = empty_like(f.w_temporal)};
                    kernels::spectral_temporal_attention_backward(b);
                    return std::vector{b.dw_spectral, b.dw_temporal};
                  });
                  return {dx, sums[0], sums[1]};
                });
}

}  // namespace earmark
