// Elementwise maths. Operands have one shape and type (f32 or f64) and `out` may be one of them, unless said otherwise.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

void add(const Tensor& a, const Tensor& b, const Tensor& out);  ///< out = a + b; also bf16, where gradients meet.
void sub(const Tensor& a, const Tensor& b, const Tensor& out);  ///< out = a - b
void mul(const Tensor& a, const Tensor& b, const Tensor& out);  ///< out = a * b
void scale(const Tensor& x, double factor, const Tensor& out);  ///< out = factor * x

/// out = max(x, 0); NaN stays NaN.
void relu(const Tensor& x, const Tensor& out);
/// dx = dout where out > 0, else 0. `out` is what relu wrote; dx may be dout.
void relu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);

/// out = x where x > 0, else exp(x) - 1 (Clevert et al., ICLR 2016, alpha = 1).
void elu(const Tensor& x, const Tensor& out);
/// dx = dout where out > 0, else dout * (out + 1). `out` is what elu wrote; dx may be dout.
void elu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);

/// Converts between f32, f64 and bf16 (nearest even). `out` has x's shape and its own type, and shares no memory with
/// x.
void cast(const Tensor& x, const Tensor& out);

namespace cpu {
void add(const Tensor& a, const Tensor& b, const Tensor& out);
void sub(const Tensor& a, const Tensor& b, const Tensor& out);
void mul(const Tensor& a, const Tensor& b, const Tensor& out);
void scale(const Tensor& x, double factor, const Tensor& out);
void relu(const Tensor& x, const Tensor& out);
void relu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);
void elu(const Tensor& x, const Tensor& out);
void elu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);
void cast(const Tensor& x, const Tensor& out);
}  // namespace cpu

namespace cuda {
void add(const Tensor& a, const Tensor& b, const Tensor& out);
void sub(const Tensor& a, const Tensor& b, const Tensor& out);
void mul(const Tensor& a, const Tensor& b, const Tensor& out);
void scale(const Tensor& x, double factor, const Tensor& out);
void relu(const Tensor& x, const Tensor& out);
void relu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);
void elu(const Tensor& x, const Tensor& out);
void elu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx);
void cast(const Tensor& x, const Tensor& out);
}  // namespace cuda

}  // namespace earmark::kernels
