// Sums and means over leading axes, and their transpose. What is left of x's shape is the shape of `out`: () reduces
// everything, (C) reduces all but the channels of an N x F x T x C activation. f32 and f64.
// Sums run in blocks of fixed size whose partials are added in order, in double: the same bits for any thread count.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

/// out (trailing axes of x) = sum of x over the leading axes. An empty x sums to 0.
void sum(const Tensor& x, const Tensor& out);
/// out = sum / count of the summed elements. Throws Error on an empty x.
void mean(const Tensor& x, const Tensor& out);
/// out (..., trailing axes) = factor * x (trailing axes), repeated: the derivative of sum (1) and of mean (1 / count).
void repeat(const Tensor& x, double factor, const Tensor& out);

namespace cpu {
void sum(const Tensor& x, double factor, const Tensor& out);
void repeat(const Tensor& x, double factor, const Tensor& out);
}  // namespace cpu

namespace cuda {
void sum(const Tensor& x, double factor, const Tensor& out);
void repeat(const Tensor& x, double factor, const Tensor& out);
}  // namespace cuda

}  // namespace earmark::kernels
