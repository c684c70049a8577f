#include "autograd/conv.h"

namespace earmark {

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const ConvOptions& options) {
  const Tensor& input = x.value();
  const kernels::ConvForward f{
      .x = input,
      .weight = weight.value(),
      .bias = bias ? bias.value() : Tensor(),
      .options = options,
      .add = {},
      .out = Tensor(conv_output_shape(input.shape(), weight.shape(), options), input.dtype(), input.device())};
  kernels::conv_forward(f);
  const bool want_dx = x.requires_grad();
  const bool want_dweight = weight.requires_grad();
  const bool want_dbias = bias && bias.requires_grad();
  const std::vector<Variable> inputs = bias ? std::vector{x, weight, bias} : std::vector{x, weight};
  return record("conv2d", f.out, inputs,
                [=, x_saved = input, w_saved = weight.value()](const Tensor& dout) -> std::vector<Tensor> {
                  const kernels::ConvBackward b{
                      .x = x_saved,
                      .weight = w_saved,
                      .options = options,
                      .dout = dout,
                      .dx = want_dx ? empty_like(x_saved) : Tensor(),
                      .dweight = want_dweight ? empty_like(w_saved) : Tensor(),
                      .dbias = want_dbias ? Tensor({w_saved.dim(0)}, dout.dtype(), dout.device()) : Tensor()};
                  kernels::conv_backward(b);
                  if (inputs.size() == 2) {
                    return {b.dx, b.dweight};
                  }
                  return {b.dx, b.dweight, b.dbias};
                });
}

}  // namespace earmark
