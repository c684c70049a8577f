#include "kernels/normalize.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_rows(const Tensor& rows, const Tensor& norm, double epsilon) {
  check(rows.shape().rank() == 2, "l2_normalize: expected rows (N, D), got ", rows.shape());
  check(norm.shape() == Shape({rows.dim(0)}) && norm.dtype() == rows.dtype(), "l2_normalize: ", rows.shape(),
        " has norms (", rows.dim(0), ") of its type, got ", name_of(norm.dtype()), norm.shape());
  check(epsilon > 0, "l2_normalize: epsilon must be positive, got ", epsilon);
}

void check_same_rows(const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape() && a.dtype() == b.dtype() && a.device() == b.device(),
        "l2_normalize: operands differ: ", name_of(a.dtype()), a.shape(), " and ", name_of(b.dtype()), b.shape());
}

}  // namespace

void l2_normalize(const L2Normalize& a) {
  check_rows(a.x, a.norm, a.epsilon);
  check_same_rows(a.x, a.out);
  run_on<cpu::l2_normalize, cuda::l2_normalize>(a.x.device(), a);
}

void l2_normalize_backward(const L2NormalizeBackward& a) {
  check_rows(a.out, a.norm, a.epsilon);
  check_same_rows(a.out, a.dout);
  check_same_rows(a.out, a.dx);
  run_on<cpu::l2_normalize_backward, cuda::l2_normalize_backward>(a.out.device(), a);
}

}  // namespace earmark::kernels
