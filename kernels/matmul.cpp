#include "kernels/matmul.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void matmul(const Matmul& m) {
  check(m.a.shape().rank() == 2 && m.b.shape().rank() == 2, "matmul: expected matrices, got ", m.a.shape(), " and ",
        m.b.shape());
  const std::int64_t rows = m.a.dim(m.transpose_a ? 1 : 0);
  const std::int64_t columns = m.b.dim(m.transpose_b ? 0 : 1);
  check(m.a.dim(m.transpose_a ? 0 : 1) == m.b.dim(m.transpose_b ? 1 : 0), "matmul: ", m.a.shape(),
        m.transpose_a ? " transposed" : "", " by ", m.b.shape(), m.transpose_b ? " transposed" : "", " does not fit");
  check(m.out.shape() == Shape({rows, columns}), "matmul: result is (", rows, ", ", columns, "), got ", m.out.shape());
  check(m.a.dtype() == m.b.dtype() && m.a.dtype() == m.out.dtype(), "matmul: types differ: ", name_of(m.a.dtype()),
        ", ", name_of(m.b.dtype()), " and ", name_of(m.out.dtype()));
  check(m.a.device() == m.b.device() && m.a.device() == m.out.device(), "matmul: operands are on several devices");
  run_on<cpu::matmul, cuda::matmul>(m.a.device(), m);
}

}  // namespace earmark::kernels
