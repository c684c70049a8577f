#include "kernels/layer_norm.h"

#include <string_view>

#include "kernels/compute_type.h"
#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

/// A tensor that goes with the maps x.
void check_layer_operand(const Tensor& t, const Shape& shape, const Tensor& x, std::string_view name) {
  const DType wanted = compute_type(x.dtype());
  check(t && t.shape() == shape && t.dtype() == wanted, "layer norm: ", name, " must be ", name_of(wanted), shape,
        ", got ", name_of(t.dtype()), t.shape());
  check(t.device() == x.device(), "layer norm: ", name, " is on ", t.device(), ", x on ", x.device());
}

void check_layer_map(const Tensor& t, const Tensor& x, std::string_view name) {
  check(t && t.shape() == x.shape() && t.dtype() == x.dtype() && t.device() == x.device(), "layer norm: ", name,
        " must be ", name_of(x.dtype()), x.shape(), " on ", x.device(), ", got ", name_of(t.dtype()), t.shape());
}

/// Of a sample.
Shape sample_shape(const Tensor& x) {
  const Shape& shape = x.shape();
  check(shape.rank() >= 2, "layer norm: expected samples (N, ...), got ", shape);
  const Shape sample(shape.dims().subspan(1));
  check(sample.numel() > 0, "layer norm: samples without elements: ", shape);
  return sample;
}

void check_operands(const LayerNormForward& a) {
  const Shape sample = sample_shape(a.x);
  check_layer_operand(a.gamma, sample, a.x, "gamma");
  check_layer_operand(a.beta, sample, a.x, "beta");
  check_layer_operand(a.mean, {a.x.dim(0)}, a.x, "mean");
  check_layer_operand(a.inverse_deviation, {a.x.dim(0)}, a.x, "inverse_deviation");
  check(a.epsilon > 0, "layer norm: epsilon must be positive, got ", a.epsilon);
}

}  // namespace

void layer_norm_forward(const LayerNormForward& a) {
  check_operands(a);
  check_layer_map(a.out, a.x, "out");
  run_on<cpu::layer_norm_forward, cuda::layer_norm_forward>(a.x.device(), a);
}

void layer_norm_backward(const LayerNormBackward& a) {
  const Tensor& x = a.forward.x;
  check_operands(a.forward);
  check_layer_map(a.dout, x, "dout");
  check_layer_map(a.dx, x, "dx");
  const Shape sample = sample_shape(x);
  check_layer_operand(a.dgamma, sample, x, "dgamma");
  check_layer_operand(a.dbeta, sample, x, "dbeta");
  run_on<cpu::layer_norm_backward, cuda::layer_norm_backward>(x.device(), a);
}

}  // namespace earmark::kernels
