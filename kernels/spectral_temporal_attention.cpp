#include "kernels/spectral_temporal_attention.h"

#include "kernels/compute_type.h"
#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_tensor(const Tensor& t, const Shape& shape, DType dtype, Device device, const char* name) {
  check(t.shape() == shape && t.dtype() == dtype && t.device() == device, "attention: ", name, " must be ",
        name_of(dtype), shape, ", got ", name_of(t.dtype()), t.shape());
}

/// One of the shape and type of x.
void check_attention_map(const Tensor& t, const Tensor& x, const char* name) {
  check_tensor(t, x.shape(), x.dtype(), x.device(), name);
}

/// What goes with the map x.
void check_attention_operand(const Tensor& t, const Shape& shape, const Tensor& x, const char* name) {
  check_tensor(t, shape, compute_type(x.dtype()), x.device(), name);
}

void check_attention(const AttentionForward& a) {
  check(a.x.shape().rank() == 4, "attention: x must be (N, F, T, C), got ", a.x.shape());
  const std::int64_t n = a.x.dim(0);
  const std::int64_t channels = a.x.dim(3);
  check_attention_operand(a.w_spectral, {channels, a.x.dim(2)}, a.x, "w_spectral (C, T)");
  check_attention_operand(a.w_temporal, {channels, a.x.dim(1)}, a.x, "w_temporal (C, F)");
  check_attention_operand(a.spectral, {n, a.x.dim(1), channels}, a.x, "spectral (N, F, C)");
  check_attention_operand(a.temporal, {n, a.x.dim(2), channels}, a.x, "temporal (N, T, C)");
  if (a.prologue.slope) {
    check_attention_operand(a.prologue.slope, {channels}, a.x, "slope (C)");
    check_attention_operand(a.prologue.offset, {channels}, a.x, "offset (C)");
  }
  if (a.prologue.residual) {
    check(static_cast<bool>(a.prologue.slope), "attention: a residual needs a slope and an offset");
    check_attention_map(a.prologue.residual, a.x, "residual");
  }
}

}  // namespace

void spectral_temporal_attention_forward(const AttentionForward& a) {
  check_attention(a);
  check_attention_map(a.out, a.x, "out");
  run_on<cpu::spectral_temporal_attention_forward, cuda::spectral_temporal_attention_forward>(a.x.device(), a);
}

void spectral_temporal_attention_backward(const AttentionBackward& a) {
  check_attention(a.forward);
  const Tensor& x = a.forward.x;
  check_attention_map(a.dout, x, "dout");
  check_attention_map(a.dx, x, "dx");
  check_attention_operand(a.dw_spectral, a.forward.w_spectral.shape(), x, "dw_spectral");
  check_attention_operand(a.dw_temporal, a.forward.w_temporal.shape(), x, "dw_temporal");
  if (a.forward.prologue.slope) {
    for (const Tensor& t : {a.centre, a.dx_sum, a.dx_product}) {
      check_attention_operand(t, {x.dim(3)}, x, "centre, dx_sum and dx_product (C)");
    }
  }
  run_on<cpu::spectral_temporal_attention_backward, cuda::spectral_temporal_attention_backward>(x.device(), a);
}

}  // namespace earmark::kernels
