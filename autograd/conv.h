// Convolution with gradients; shapes and formula in kernels/conv.h.
#pragma once

#include "autograd/variable.h"
#include "kernels/conv.h"

namespace earmark {

/// x (N, F, T, I), weight (O, Kf, Kt, I), bias (O) or none -> (N, F', T', O).
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const ConvOptions& options);

}  // namespace earmark
