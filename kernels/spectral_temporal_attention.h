// Spectral-temporal attention (Singh, Demuynck, Arora, ISMIR 2022), per sample n and channel c with the slab X (F x T):
//   spectral[f] = softmax_F(g(sum_t X[f,t] * w_spectral[c,t])),   g = tanh or identity
//   temporal[t] = softmax_T(g(sum_f X[f,t] * w_temporal[c,f]))
//   out[f,t] = X[f,t] * spectral[f] * temporal[t] * scale
// One task reads a sample once for both projections and once, from cache, to scale it. The F x T map is never stored:
// backward keeps the two softmax vectors and recomputes the logits.
// Maps (N, F, T, C) are f32, f64 (on the CPU alone) or bf16; everything else has compute_type() of theirs, so f32
// beside bf16.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

/// What may come before, computed on the fly instead of stored: X = max(0, x * slope + offset [+ residual]), which is
/// batch normalisation, the sum of a residual block and ReLU.
struct AttentionPrologue {
  Tensor slope;     // (C), or none: X = x
  Tensor offset;    // (C)
  Tensor residual;  // (N, F, T, C), or none
};

struct AttentionForward {
  Tensor x;  // (N, F, T, C)
  AttentionPrologue prologue{};
  Tensor w_spectral;  // (C, T)
  Tensor w_temporal;  // (C, F)
  bool tanh_logits = true;
  double scale = 1;
  Tensor out;       // written: (N, F, T, C); may be x itself where no backward follows
  Tensor spectral;  // written: (N, F, C), the softmax over F
  Tensor temporal;  // written: (N, T, C), the softmax over T
};
void spectral_temporal_attention_forward(const AttentionForward& a);

struct AttentionBackward {
  AttentionForward forward;  // as left by the forward pass; `out` is not read
  Tensor dout;               // (N, F, T, C)
  Tensor dx;                 // written: (N, F, T, C); with a prologue the gradient of the sum inside max(0, .)
  Tensor dw_spectral;        // written: (C, T)
  Tensor dw_temporal;        // written: (C, F)
  // What batch normalisation's gradient needs, with a prologue only.
  Tensor centre{};      // (C)
  Tensor dx_sum{};      // written: (C), the sum of dx
  Tensor dx_product{};  // written: (C), the sum of dx * (x - centre)
};
void spectral_temporal_attention_backward(const AttentionBackward& a);

namespace cpu {
void spectral_temporal_attention_forward(const AttentionForward& a);
void spectral_temporal_attention_backward(const AttentionBackward& a);
}  // namespace cpu
namespace cuda {
void spectral_temporal_attention_forward(const AttentionForward& a);
void spectral_temporal_attention_backward(const AttentionBackward& a);
}  // namespace cuda

}  // namespace earmark::kernels
