#include "kernels/spectral_temporal_attention.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_tensor(const Tensor& t, const Shape& shape, const Tensor& x, const char* name) {
  check(t.shape() == shape && t.dtype() == x.dtype() && t.device() == x.device(), "attention: ", name, " must be ",
        name_of(x.dtype()), shape, ", got ", name_of(t.dtype()), t.shape());
}

void check_forward(const AttentionForward& a) {
  check(a.x.shape().rank() == 4, "attention: x must be (N, F, T, C), got ", a.x.shape());
  const std::int64_t n = a.x.dim(0);
  const std::int64_t channels = a.x.dim(3);
  check_tensor(a.w_spectral, {channels, a.x.dim(2)}, a.x, "w_spectral (C, T)");
  check_tensor(a.w_temporal, {channels, a.x.dim(1)}, a.x, "w_temporal (C, F)");
  check_tensor(a.spectral, {n, a.x.dim(1), channels}, a.x, "spectral (N, F, C)");
  check_tensor(a.temporal, {n, a.x.dim(2), channels}, a.x, "temporal (N, T, C)");
  if (a.prologue.slope) {
    check_tensor(a.prologue.slope, {channels}, a.x, "slope (C)");
    check_tensor(a.prologue.offset, {channels}, a.x, "offset (C)");
  }
  if (a.prologue.residual) {
    check(static_cast<bool>(a.prologue.slope), "attention: a residual needs a slope and an offset");
    check_tensor(a.prologue.residual, a.x.shape(), a.x, "residual");
  }
}

}  // namespace

void spectral_temporal_attention_forward(const AttentionForward& a) {
  check_forward(a);
  check_tensor(a.out, a.x.shape(), a.x, "out");
  run_on<cpu::spectral_temporal_attention_forward, cuda::spectral_temporal_attention_forward>(a.x.device(), a);
}

void spectral_temporal_attention_backward(const AttentionBackward& a) {
  check_forward(a.forward);
  const Tensor& x = a.forward.x;
  check_tensor(a.dout, x.shape(), x, "dout");
  check_tensor(a.dx, x.shape(), x, "dx");
  check_tensor(a.dw_spectral, a.forward.w_spectral.shape(), x, "dw_spectral");
  check_tensor(a.dw_temporal, a.forward.w_temporal.shape(), x, "dw_temporal");
  if (a.forward.prologue.slope) {
    for (const Tensor& t : {a.centre, a.dx_sum, a.dx_product}) {
      check_tensor(t, {x.dim(3)}, x, "centre, dx_sum and dx_product (C)");
    }
  }
  run_on<cpu::spectral_temporal_attention_backward, cuda::spectral_temporal_attention_backward>(x.device(), a);
}

}  // namespace earmark::kernels
