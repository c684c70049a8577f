// Gradient caching (Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP
// 2021, arXiv 2101.06983): a contrastive batch whose activations do not fit into memory. Its embeddings are made part
// by part without keeping activations; the loss of all of them together tells what gradient each embedding has; then
// each part is forwarded again, and its backward pass begins with its rows of that gradient.
//   gradients   are those of the one graph in which each part is forwarded by itself and the loss sees all
//   memory      the activations of one part; the views and embeddings of all
//   cost        of K parts all but one are forwarded twice: (4 - 1/K) / 3 of a step whose backward pass costs twice
//               its forward pass
// Batch normalisation has the statistics of a part (with those of all ranks, of the ranks' parts), the same in both
// passes; the running ones move once for each part, in the order of the parts.
#pragma once

#include <functional>

#include "autograd/functions.h"

namespace earmark::train {

/// What a cached step is made of.
struct CachedStep {
  std::int64_t micro_batch = 1;  ///< Pairs of a part.
  /// Views (2m, ...) of m pairs to embeddings (2m, D). Called twice with the same, it must give the same.
  std::function<Variable(const Tensor& views)> forward;
  /// Of all embeddings (2P, D).
  std::function<NtXentResult(const Variable& embeddings)> loss;
  /// Called before the last backward pass: what it adds to is complete afterwards.
  std::function<void()> before_last;
};

/// Adds the gradients of the loss to the leaves of `forward`. The views (2P, ...) are first views of P pairs, then
/// second views. Throws Error where micro_batch does not divide P.
NtXentResult cached_backward(const Tensor& views, const CachedStep& step);

}  // namespace earmark::train
