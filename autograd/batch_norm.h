// Batch normalisation with gradients; formula in kernels/batch_norm.h.
#pragma once

#include "autograd/variable.h"

namespace earmark {

/// The buffers of a layer: statistics that inference uses. Handles, so the op updates the layer's own.
struct RunningStatistics {
  Tensor mean;      // (C)
  Tensor variance;  // (C)
};

struct BatchNormOptions {
  bool training = true;  ///< Statistics of the batch, and the running ones move; otherwise the running ones.
  bool relu = false;     ///< Followed by max(0, .), fused.
  double epsilon = 1e-5;
  double momentum = 0.1;
};

/// x (..., C), gamma (C), beta (C) -> (..., C).
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, const RunningStatistics& running,
                    const BatchNormOptions& options = {});

}  // namespace earmark
