// An encoder's inference on a batch: on the CPU in groups of samples, each in the cache of one thread; on a GPU all of
// it at once.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/tensor.h"

namespace earmark::nn {

/// What an encoder does to samples (N, ...), in two parts. Both are called by several threads at once.
struct EmbedParts {
  /// On the CPU it sees one sample at a time, whose activations stay in the cache of the thread that has it.
  std::function<Tensor(Tensor)> first;
  /// From the result of the first to rows (N, D) of any length. Small maps under large weights: it sees a whole group,
  /// so that one read of the weights serves all of it.
  std::function<Tensor(Tensor)> last;
};

/// Unit rows (N, dimension) of the samples x (N, ...), of x's type and on its device.
Tensor embed_in_groups(const Tensor& x, std::int64_t dimension, const EmbedParts& parts);

}  // namespace earmark::nn
