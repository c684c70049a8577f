#include "kernels/matmul.h"

#include "autograd/functions.h"
#include "autograd/reduction_groups.h"

namespace earmark {
namespace {

Tensor product(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  check(a.shape().rank() == 2 && b.shape().rank() == 2, "matmul: expected matrices, got ", a.shape(), " and ",
        b.shape());
  const Tensor out({a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)}, a.dtype(), a.device());
  kernels::matmul({.a = a, .b = b, .out = out, .transpose_a = transpose_a, .transpose_b = transpose_b});
  return out;
}

}  // namespace

// With A = op(a), B = op(b): dA = dout B^T, dB = A^T dout; where op transposes, so does its gradient.
Variable matmul(const Variable& a, const Variable& b, bool transpose_a, bool transpose_b) {
  ReductionGroups::refuse("matmul");
  const Tensor out = product(a.value(), b.value(), transpose_a, transpose_b);
  return record("matmul", out, {a, b}, [x = a.value(), y = b.value(), transpose_a, transpose_b](const Tensor& dout) {
    return std::vector{transpose_a ? product(y, dout, transpose_b, true) : product(dout, y, false, !transpose_b),
                       transpose_b ? product(dout, x, true, transpose_a) : product(x, dout, !transpose_a, false)};
  });
}

}  // namespace earmark
