#include "kernels/grouped_linear.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_linear_operand(const char* name, const Tensor& t, const Shape& shape, const Tensor& x) {
  check(t.shape() == shape, "grouped_linear: expected ", name, " ", shape, ", got ", t.shape());
  check(t.dtype() == x.dtype(), "grouped_linear: ", name, " is ", name_of(t.dtype()), ", x is ", name_of(x.dtype()));
  check(t.device() == x.device(), "grouped_linear: ", name, " is on ", t.device(), ", x on ", x.device());
}

void check_grouped_linear(const GroupedLinear& a) {
  check(a.x.shape().rank() == 3 && a.w.shape().rank() == 3,
        "grouped_linear: expected x (N, G, I) and w (G, O, I), got ", a.x.shape(), " and ", a.w.shape());
  const std::int64_t groups = a.x.dim(1);
  const std::int64_t outputs = a.w.dim(1);
  check_linear_operand("w", a.w, {groups, outputs, a.x.dim(2)}, a.x);
  check_linear_operand("b", a.b, {groups, outputs}, a.x);
  check_linear_operand("out", a.out, {a.x.dim(0), groups, outputs}, a.x);
}

}  // namespace

void grouped_linear(const GroupedLinear& a) {
  check_grouped_linear(a);
  run_on<cpu::grouped_linear, cuda::grouped_linear>(a.x.device(), a);
}

void grouped_linear_backward(const GroupedLinearBackward& a) {
  check_grouped_linear(a.forward);
  const Tensor& x = a.forward.x;
  check_linear_operand("dout", a.dout, a.forward.out.shape(), x);
  check_linear_operand("dw", a.dw, a.forward.w.shape(), x);
  check_linear_operand("db", a.db, a.forward.b.shape(), x);
  if (a.dx) {
    check_linear_operand("dx", a.dx, x.shape(), x);
  }
  run_on<cpu::grouped_linear_backward, cuda::grouped_linear_backward>(x.device(), a);
}

}  // namespace earmark::kernels
