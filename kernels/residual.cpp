#include "kernels/residual.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void residual_relu_forward(const ResidualReluForward& r) {
  check(r.a.shape() == r.b.shape() && r.a.shape() == r.out.shape(), "residual: shapes differ: ", r.a.shape(), ", ",
        r.b.shape(), ", out ", r.out.shape());
  run_on<cpu::residual_relu_forward, cuda::residual_relu_forward>(r.a.device(), r);
}

void residual_relu_backward(const ResidualReluBackward& r) {
  check(r.dout.shape() == r.out.shape() && r.dsum.shape() == r.out.shape(), "residual backward: shapes differ: out ",
        r.out.shape(), ", dout ", r.dout.shape(), ", dsum ", r.dsum.shape());
  run_on<cpu::residual_relu_backward, cuda::residual_relu_backward>(r.out.device(), r);
}

}  // namespace earmark::kernels
