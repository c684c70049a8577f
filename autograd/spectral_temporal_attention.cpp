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

Variable spectral_temporal_attention(const Variable& x, const Variable& w_spectral, const Variable& w_temporal,
                                     const AttentionOptions& options) {
  kernels::AttentionForward f = attention_forward(x.value(), {}, w_spectral, w_temporal, options);
  const Tensor out = std::exchange(f.out, {});  // not needed by backward
  return record("spectral_temporal_attention", out, {x, w_spectral, w_temporal},
                [f](const Tensor& dout) -> std::vector<Tensor> {
                  const kernels::AttentionBackward b{.forward = f,
                                                     .dout = dout,
                                                     .dx = empty_like(f.x),
                                                     .dw_spectral = empty_like(f.w_spectral),
                                                     .dw_temporal = empty_like(f.w_temporal)};
                  kernels::spectral_temporal_attention_backward(b);
                  return {b.dx, b.dw_spectral, b.dw_temporal};
                });
}

}  // namespace earmark
