// Through cuBLAS. It counts columns first, and a row-major (M, N) is its column-major (N, M): so out^T = op(b)^T
// op(a)^T is asked for, and no operand is moved. Floor on an H100: 2MNK operations at 67 TFLOP/s in float, 67 in double
// on the tensor cores; or one pass over a, b, out at 3.35 TB/s. 70 to 80 % of the first is to be expected for hundreds
// of rows and columns.
#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/types.h"

namespace earmark::kernels::cuda {
namespace {

template <class T>
void multiply(const Matmul& m, std::int64_t depth) {
  const T one = 1;
  const T keep = m.accumulate ? 1 : 0;
  const cudaDataType_t type = cuda_type(m.out.dtype());
  const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const cublasComputeType_t compute = std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
  CUBLAS_CHECK(cublasGemmEx_64(blas(), operation(m.transpose_b), operation(m.transpose_a), m.out.dim(1), m.out.dim(0),
                               depth, &one, m.b.raw(), type, m.b.dim(1), m.a.raw(), type, m.a.dim(1), &keep,
                               m.out.raw(), type, m.out.dim(1), compute, CUBLAS_GEMM_DEFAULT));
  note_call("cublasGemmEx", current_stream());
}

}  // namespace

void matmul(const Matmul& m) {
  const std::int64_t depth = m.a.dim(m.transpose_a ? 0 : 1);
  if (m.out.numel() == 0) {
    return;
  }
  if (depth == 0) {
    return m.accumulate ? void() : zero(m.out.raw(), m.out.bytes());
  }
  dispatch_float(m.out.dtype(), [&]<class T>() { multiply<T>(m, depth); });
}

}  // namespace earmark::kernels::cuda
