#include "nn/divide_and_encode.h"

#include "autograd/functions.h"
#include "kernels/grouped_linear.h"

namespace earmark::nn {

namespace {

Shape divided(const Shape& x, const Variable& weight) { return {x[0], weight.shape()[0], weight.shape()[2]}; }

Tensor linear(const Tensor& x, const Variable& weight, const Variable& bias, kernels::Activation activation) {
  const Tensor out({x.dim(0), x.dim(1), weight.shape()[1]}, x.dtype(), x.device());
  kernels::grouped_linear({.x = x, .w = weight.value(), .b = bias.value(), .out = out, .activation = activation});
  return out;
}

}  // namespace

Variable DivideAndEncode::forward(const Variable& x) const {
  const Variable parts = reshape(x, divided(x.shape(), hidden_weight));
  const Variable hidden = grouped_linear(parts, hidden_weight, hidden_bias, kernels::Activation::elu);
  const Variable out = grouped_linear(hidden, output_weight, output_bias);
  return reshape(out, {out.shape()[0], out.shape()[1]});
}

Tensor DivideAndEncode::encode(const Tensor& x) const {
  const Tensor hidden =
      linear(x.reshape(divided(x.shape(), hidden_weight)), hidden_weight, hidden_bias, kernels::Activation::elu);
  return linear(hidden, output_weight, output_bias, kernels::Activation::none).reshape({x.dim(0), hidden.dim(1)});
}

}  // namespace earmark::nn
