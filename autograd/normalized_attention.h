// The inner step of a residual block as one operation: attention(max(0, batch_norm(x) [+ residual])). The normalised
// values are computed on the fly, forward and backward, so that only x is kept and memory is passed over half as often.
#pragma once

#include "autograd/batch_norm.h"
#include "autograd/spectral_temporal_attention.h"

namespace earmark {

/// Equals spectral_temporal_attention(residual_relu(batch_norm(x), residual)), or, where `residual` is none, the same
/// of batch_norm with ReLU. x, residual (N, F, T, C); gamma, beta (C); w_spectral (C, T); w_temporal (C, F). Training
/// only: the statistics are the batch's.
Variable normalized_attention(const Variable& x, const Variable& gamma, const Variable& beta, const Variable& residual,
                              const RunningStatistics& running, const Variable& w_spectral, const Variable& w_temporal,
                              const AttentionOptions& options = {}, double epsilon = 1e-5, double momentum = 0.1);

}  // namespace earmark
