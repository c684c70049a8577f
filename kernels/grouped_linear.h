// One small linear layer per group, out[n, g] = w[g] x[n, g] + b[g], with ELU behind it if asked: the grouped 1x1
// convolutions of the divide-and-encode head (Lai et al., CVPR 2015; 128 groups of 48 -> 32 -> 1). f32 and f64.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

enum class Activation { none, elu };

struct GroupedLinear {
  Tensor x;                                  // (N, G, I)
  Tensor w;                                  // (G, O, I)
  Tensor b;                                  // (G, O)
  Tensor out;                                // written: (N, G, O)
  Activation activation = Activation::none;  // applied to the sum
};
void grouped_linear(const GroupedLinear& a);

struct GroupedExtents {
  std::int64_t n;
  std::int64_t groups;
  std::int64_t inputs;
  std::int64_t outputs;

  explicit GroupedExtents(const GroupedLinear& a)
      : n(a.x.dim(0)), groups(a.x.dim(1)), inputs(a.x.dim(2)), outputs(a.w.dim(1)) {}
};

struct GroupedLinearBackward {
  GroupedLinear forward;  // as left by grouped_linear
  Tensor dout;            // (N, G, O)
  Tensor dx;              // written: (N, G, I); empty: not wanted
  Tensor dw;              // written: (G, O, I)
  Tensor db;              // written: (G, O)
};
void grouped_linear_backward(const GroupedLinearBackward& a);

namespace cpu {
void grouped_linear(const GroupedLinear& a);
void grouped_linear_backward(const GroupedLinearBackward& a);
}  // namespace cpu
namespace cuda {
void grouped_linear(const GroupedLinear& a);
void grouped_linear_backward(const GroupedLinearBackward& a);
}  // namespace cuda

}  // namespace earmark::kernels
