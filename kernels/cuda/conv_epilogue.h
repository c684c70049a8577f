// What follows a convolution where cuDNN cannot take it in.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

/// out (N, F, T, O) = [max(0, .)](out [+ bias (O)] [+ add (N, F, T, O)]), in place; bias and add may be none.
void conv_epilogue(const Tensor& out, const Tensor& bias, const Tensor& add, bool relu);

}  // namespace earmark::kernels::cuda
