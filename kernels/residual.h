// The end of a residual block: out = max(0, a + b), in one pass, forward and backward. In f32, f64 or bf16.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct ResidualReluForward {
  Tensor a;
  Tensor b;
  Tensor out;  // written: the shape of both
};
void residual_relu_forward(const ResidualReluForward& r);

struct ResidualReluBackward {
  Tensor out;   // as left by residual_relu_forward
  Tensor dout;  // the same shape
  Tensor dsum;  // written: the gradient of a and of b alike
};
void residual_relu_backward(const ResidualReluBackward& r);

namespace cpu {
void residual_relu_forward(const ResidualReluForward& r);
void residual_relu_backward(const ResidualReluBackward& r);
}  // namespace cpu
namespace cuda {
void residual_relu_forward(const ResidualReluForward& r);
void residual_relu_backward(const ResidualReluBackward& r);
}  // namespace cuda

}  // namespace earmark::kernels
