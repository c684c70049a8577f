#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/cpu/gemm.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

// One task's share of the result.
constexpr std::int64_t kTaskRows = 128;
constexpr std::int64_t kTaskColumns = 256;

template <class T>
MatrixView<T> view(const Tensor& t, bool transpose) {
  const std::int64_t stride = t.dim(1);
  return transpose ? MatrixView<T>{t.data<T>(), 1, stride} : MatrixView<T>{t.data<T>(), stride, 1};
}

template <class T>
void matmul_as(const Matmul& m) {
  const MatrixView<T> a = view<T>(m.a, m.transpose_a);
  const MatrixView<T> b = view<T>(m.b, m.transpose_b);
  const std::int64_t rows = m.out.dim(0);
  const std::int64_t columns = m.out.dim(1);
  const std::int64_t depth = m.a.dim(m.transpose_a ? 0 : 1);
  T* out = m.out.mutable_data<T>();
  const std::int64_t across = (columns + kTaskColumns - 1) / kTaskColumns;
  parallel_for((rows + kTaskRows - 1) / kTaskRows * across, [&](std::int64_t task) {
    const std::int64_t i = task / across * kTaskRows;
    const std::int64_t j = task % across * kTaskColumns;
    multiply<T>({a.data + i * a.row_stride, a.row_stride, a.column_stride},
                {b.data + j * b.column_stride, b.row_stride, b.column_stride}, out + i * columns + j, columns,
                std::min(kTaskRows, rows - i), std::min(kTaskColumns, columns - j), depth, m.accumulate);
  });
}

}  // namespace

void matmul(const Matmul& m) {
  dispatch_float(m.out.dtype(), [&]<class T>() { matmul_as<T>(m); });
}

}  // namespace earmark::kernels::cpu
