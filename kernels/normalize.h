// Rows onto the unit sphere: out = x / max(|x|, epsilon). A row of zeros stays zero. f32 and f64.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct L2Normalize {
  Tensor x;                // (N, D)
  Tensor out;              // written: (N, D); may be x
  Tensor norm;             // written: (N), max(|x|, epsilon)
  double epsilon = 1e-12;  // PyTorch's default
};
void l2_normalize(const L2Normalize& a);

/// dx = (dout - out <out, dout>) / norm; where epsilon took over, dx = dout / epsilon.
struct L2NormalizeBackward {
  Tensor out;   // (N, D), as written by l2_normalize
  Tensor norm;  // (N)
  Tensor dout;  // (N, D)
  Tensor dx;    // written: (N, D); may be dout
  double epsilon = 1e-12;
};
void l2_normalize_backward(const L2NormalizeBackward& a);

namespace cpu {
void l2_normalize(const L2Normalize& a);
void l2_normalize_backward(const L2NormalizeBackward& a);
}  // namespace cpu
namespace cuda {
void l2_normalize(const L2Normalize& a);
void l2_normalize_backward(const L2NormalizeBackward& a);
}  // namespace cuda

}  // namespace earmark::kernels
