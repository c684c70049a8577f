#include "autograd/conv.h"

#include "autograd/reduction_groups.h"

namespace earmark {
namespace {

/// Which gradients are asked for.
struct Wanted {
  bool dx, dweight, dbias;
};

/// Those of the input, the weight and the bias; none where it is not wanted.
std::vector<Tensor> conv_gradients(kernels::ConvBackward b, const Wanted& wanted) {
  b.dx = wanted.dx ? empty_like(b.x) : Tensor();
  b.dweight = wanted.dweight ? empty_like(b.weight) : Tensor();
  b.dbias = wanted.dbias ? Tensor({b.weight.dim(0)}, b.dout.dtype(), b.dout.device()) : Tensor();
  kernels::conv_backward(b);
  return {b.dx, b.dweight, b.dbias};
}

/// The gradient of the input belongs to each sample alone: of all at once, so that weights are packed once.
std::vector<Tensor> conv_gradients_by_groups(const kernels::ConvBackward& b, const Wanted& wanted,
                                             const ReductionGroups& groups) {
  std::vector<Tensor> sums(3);
  if (wanted.dweight || wanted.dbias) {
    sums = groups.sum(b.x.dim(0), [&](const RowRange& group) {
      kernels::ConvBackward part = b;
      part.x = group.of(b.x);
      part.dout = group.of(b.dout);
      return conv_gradients(part, {false, wanted.dweight, wanted.dbias});
    });
  }
  if (wanted.dx) {
    sums[0] = conv_gradients(b, {true, false, false})[0];
  }
  return sums;
}

}  // namespace

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
  const Wanted wanted{x.requires_grad(), weight.requires_grad(), bias && bias.requires_grad()};
  const std::vector<Variable> inputs = bias ? std::vector{x, weight, bias} : std::vector{x, weight};
  return record("conv2d", f.out, inputs,
                [wanted, options, count = inputs.size(), groups = ReductionGroups::current(), x_saved = input,
                 w_saved = weight.value()](const Tensor& dout) {
                  kernels::ConvBackward b;
                  b.x = x_saved;
                  b.weight = w_saved;
                  b.options = options;
                  b.dout = dout;
                  std::vector<Tensor> all =
                      groups.on() ? conv_gradients_by_groups(b, wanted, groups) : conv_gradients(b, wanted);
                  all.resize(count);
                  return all;
                });
}

}  // namespace earmark
