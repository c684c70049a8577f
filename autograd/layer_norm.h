// Layer normalisation with gradients; formula in kernels/layer_norm.h.
#pragma once

#include "autograd/variable.h"

namespace earmark {

struct LayerNormOptions {
  bool elu = false;  ///< Of ELU(x), fused: x alone is kept for the backward pass.
  double epsilon = 1e-3;
};

/// x (N, ...), gamma (...), beta (...) -> (N, ...).
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    const LayerNormOptions& options = {});

}  // namespace earmark
