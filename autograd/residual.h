// The end of a residual block with gradients: max(0, a + b).
#pragma once

#include "autograd/variable.h"

namespace earmark {

/// a and b of one shape -> the same shape.
Variable residual_relu(const Variable& a, const Variable& b);

}  // namespace earmark
