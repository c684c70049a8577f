// Which types go together. Maps (activations and their gradients) may be stored in bf16 to halve the memory that is
// moved; kernels widen them to float, compute, and round once when they store. What is small, or adds up many numbers,
// stays as wide as the computation: parameters, statistics, sums, the gradients of parameters.
#pragma once

#include "kernels/dtype.h"

namespace earmark {

/// What kernels compute in where maps are stored as `dtype`, and the type of all that goes with such maps: f32 for the
/// 16-bit types, otherwise the type itself.
constexpr DType compute_type(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16 ? DType::f32 : dtype; }

}  // namespace earmark
