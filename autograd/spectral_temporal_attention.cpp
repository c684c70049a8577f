#include "autograd/spectral_temporal_attention.h"

#include "kernels/spectral_temporal_attention.h"

namespace earmark {

Variable spectral_temporal_attention(const Variable& x, const Variable& w_spectral, const Variable& w_temporal,
                                     const AttentionOptions& options) {
  const Tensor& value = x.value();
  check(value.shape().rank() == 4, "attention: x must be (N, F, T, C), got ", value.shape());
  kernels::AttentionForward f{
      .x = value,
      .w_spectral = w_spectral.value(),
      .w_temporal = w_temporal.value(),
      .tanh_logits = options.tanh_logits,
      .scale = options.scale,
      .out = empty_like(value),
      .spectral = Tensor({value.dim(0), value.dim(1), value.dim(3)}, value.dtype(), value.device()),
      .temporal = Tensor({value.dim(0), value.dim(2), value.dim(3)}, value.dtype(), value.device())};
  kernels::spectral_temporal_attention_forward(f);
  const Tensor out = f.out;
  f.out = {};  // not needed by backward
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
