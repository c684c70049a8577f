// What surrounds a convolution and cuDNN does not take in.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

/// out (N, F, T, O) = [max(0, .)](out [+ bias (O)] [+ add (N, F, T, O)]), in place; bias and add may be none.
void conv_epilogue(const Tensor& out, const Tensor& bias, const Tensor& add, bool relu);

/// dbias (O) = the sum of dout (N, F, T, O) over all but O, added in double whatever they are stored in.
void conv_bias_gradient(const Tensor& dout, const Tensor& dbias);

}  // namespace earmark::kernels::cuda
