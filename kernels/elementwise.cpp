#include "kernels/elementwise.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_same(const char* op, const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype(), op, ": operands differ: ", name_of(a.dtype()), a.shape(),
        " and ", name_of(b.dtype()), b.shape());
  check(a.device() == b.device(), op, ": operands are on ", a.device(), " and ", b.device());
}

}  // namespace

void add(const Tensor& a, const Tensor& b, const Tensor& out) {
  check_same("add", a, b);
  check_same("add", a, out);
  run_on<cpu::add, cuda::add>(a.device(), a, b, out);
}

void sub(const Tensor& a, const Tensor& b, const Tensor& out) {
  check_same("sub", a, b);
  check_same("sub", a, out);
  run_on<cpu::sub, cuda::sub>(a.device(), a, b, out);
}

void mul(const Tensor& a, const Tensor& b, const Tensor& out) {
  check_same("mul", a, b);
  check_same("mul", a, out);
  run_on<cpu::mul, cuda::mul>(a.device(), a, b, out);
}

void scale(const Tensor& x, double factor, const Tensor& out) {
  check_same("scale", x, out);
  run_on<cpu::scale, cuda::scale>(x.device(), x, factor, out);
}

void relu(const Tensor& x, const Tensor& out) {
  check_same("relu", x, out);
  run_on<cpu::relu, cuda::relu>(x.device(), x, out);
}

void relu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx) {
  check_same("relu_backward", out, dout);
  check_same("relu_backward", out, dx);
  run_on<cpu::relu_backward, cuda::relu_backward>(out.device(), out, dout, dx);
}

void elu(const Tensor& x, const Tensor& out) {
  check_same("elu", x, out);
  run_on<cpu::elu, cuda::elu>(x.device(), x, out);
}

void elu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx) {
  check_same("elu_backward", out, dout);
  check_same("elu_backward", out, dx);
  run_on<cpu::elu_backward, cuda::elu_backward>(out.device(), out, dout, dx);
}

void cast(const Tensor& x, const Tensor& out) {
  const auto known = [](DType t) { return t == DType::f32 || t == DType::f64 || t == DType::bf16; };
  check(known(x.dtype()) && known(out.dtype()), "cast: expected f32, f64 or bf16, got ", name_of(x.dtype()), " to ",
        name_of(out.dtype()));
  check(x.shape() == out.shape(), "cast: ", x.shape(), " into ", out.shape());
  check(x.device() == out.device(), "cast: operands are on ", x.device(), " and ", out.device());
  run_on<cpu::cast, cuda::cast>(x.device(), x, out);
}

}  // namespace earmark::kernels
