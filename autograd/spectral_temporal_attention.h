// Spectral-temporal attention with gradients; formula in kernels/spectral_temporal_attention.h.
#pragma once

#include "autograd/reduction_groups.h"
#include "autograd/variable.h"
#include "kernels/spectral_temporal_attention.h"

namespace earmark {

struct AttentionOptions {
  bool tanh_logits = true;
  double scale = 1;  ///< S: 100 in the authors' code; F * T starts as the identity when the weights are zero.
};

/// The kernel's arguments with everything it writes, filled. Throws Error unless x is (N, F, T, C).
kernels::AttentionForward attention_forward(const Tensor& x, const kernels::AttentionPrologue& prologue,
                                            const Variable& w_spectral, const Variable& w_temporal,
                                            const AttentionOptions& options);

/// What the backward pass reads of the samples of a group.
kernels::AttentionForward of_group(const kernels::AttentionForward& f, const RowRange& group);

/// x (N, F, T, C), w_spectral (C, T), w_temporal (C, F) -> (N, F, T, C).
Variable spectral_temporal_attention(const Variable& x, const Variable& w_spectral, const Variable& w_temporal,
                                     const AttentionOptions& options = {});

}  // namespace earmark
