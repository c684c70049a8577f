// The lengths of batch that an encoder's inference runs at on a GPU.
#pragma once

#include "kernels/tensor.h"

namespace earmark::nn {

/// x (N, ...), or a copy filled up with zeros. On a GPU each length of batch has plans of its own to be made: so there
/// are few lengths, powers of two up to 64 and multiples of 64.
Tensor filled_up(const Tensor& x);

}  // namespace earmark::nn
