// Divide and encode (Lai et al., CVPR 2015): a sample's values in D equal parts, each through a small network of its
// own, linear -> ELU -> linear, to one value of the fingerprint.
#pragma once

#include "autograd/variable.h"

namespace earmark::nn {

struct DivideAndEncode {
  Variable hidden_weight;  // (D, H, I)
  Variable hidden_bias;    // (D, H)
  Variable output_weight;  // (D, 1, H)
  Variable output_bias;    // (D, 1)

  /// x (N, ...) with D · I elements in each sample, divided in the order in which they lie -> (N, D), not yet scaled to
  /// length 1.
  Variable forward(const Variable& x) const;
  /// The same without a graph.
  Tensor encode(const Tensor& x) const;
};

}  // namespace earmark::nn
