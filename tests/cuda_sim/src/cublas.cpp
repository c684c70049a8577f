// cuBLAS: matrix multiplication, by plain loops in the precision that is asked for.
#include <cublas_v2.h>

#include <algorithm>
#include <vector>

#include "access.h"
#include "config.h"
#include "elements.h"
#include "streams.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};

namespace cudasim {
namespace {

/// A column-major operand as it is stored, and whether its transpose is meant.
struct Operand {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  std::int64_t leading = 0;  ///< Elements from one column to the next.
  bool transposed = false;
};

struct Product {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  Operand a;
  Operand b;
  Operand c;
  void* out = nullptr;  ///< c, to be written.
  double alpha = 1;
  double beta = 0;
};

const char* kWho = "cublasGemm";

/// A matrix of rows x columns (after transposition), column by column.
template <class T>
std::vector<T> gathered(const Operand& o, std::int64_t rows, std::int64_t columns) {
  const std::int64_t stored_rows = o.transposed ? columns : rows;
  const std::int64_t stored_columns = o.transposed ? rows : columns;
  std::vector<T> out(static_cast<std::size_t>(rows * columns));
  if (out.empty() ||
      !library_reads(o.data, size_of(o.type) * static_cast<std::size_t>((stored_columns - 1) * o.leading + stored_rows),
                     kWho)) {
    return out;
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t at = o.transposed ? i * o.leading + j : j * o.leading + i;
      out[static_cast<std::size_t>(j * rows + i)] = static_cast<T>(load(o.data, o.type, at));
    }
  }
  return out;
}

template <class T>
void multiply(const Product& p) {
  const std::vector<T> a = gathered<T>(p.a, p.m, p.k);
  const std::vector<T> b = gathered<T>(p.b, p.k, p.n);
  const std::vector<T> c = p.beta == 0 ? std::vector<T>() : gathered<T>(p.c, p.m, p.n);
  std::vector<T> column(static_cast<std::size_t>(p.m));
  for (std::int64_t j = 0; j < p.n; ++j) {
    std::fill(column.begin(), column.end(), T{0});
    for (std::int64_t l = 0; l < p.k; ++l) {
      const T factor = b[static_cast<std::size_t>(j * p.k + l)];
      for (std::int64_t i = 0; i < p.m; ++i) {
        column[static_cast<std::size_t>(i)] += a[static_cast<std::size_t>(l * p.m + i)] * factor;
      }
    }
    const std::size_t width = size_of(p.c.type);
    char* const place = static_cast<char*>(p.out) + static_cast<std::size_t>(j * p.c.leading) * width;
    if (!library_writes(place, static_cast<std::size_t>(p.m) * width, kWho)) {
      return;
    }
    for (std::int64_t i = 0; i < p.m; ++i) {
      const T kept = p.beta == 0 ? T{0} : static_cast<T>(p.beta) * c[static_cast<std::size_t>(j * p.m + i)];
      store(place, p.c.type, i, static_cast<T>(p.alpha) * column[static_cast<std::size_t>(i)] + kept);
    }
  }
}

cublasStatus_t queue_product(cublasHandle_t handle, const Product& p, cublasComputeType_t compute) {
  if (handle == nullptr) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  const auto at_least = [](const Operand& o, std::int64_t rows) {
    return o.leading >= std::max<std::int64_t>(1, rows);
  };
  if (p.m < 0 || p.n < 0 || p.k < 0 || !at_least(p.a, p.a.transposed ? p.k : p.m) ||
      !at_least(p.b, p.b.transposed ? p.n : p.k) || !at_least(p.c, p.m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (size_of(p.a.type) == 0 || size_of(p.b.type) == 0 || size_of(p.c.type) == 0 ||
      (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_64F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (next_library_call_fails()) {
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  const bool in_double = compute == CUBLAS_COMPUTE_64F;
  const cudaError_t status =
      enqueue(handle->stream, kWho, [p, in_double] { in_double ? multiply<double>(p) : multiply<float>(p); });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

double scalar(const void* value, cublasComputeType_t compute) {
  return load(value, compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F, 0);
}

}  // namespace
}  // namespace cudasim

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (cudasim::next_library_call_fails()) {
    return CUBLAS_STATUS_ALLOC_FAILED;
  }
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

/// Products need none here.
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t /*handle*/, void* /*workspace*/, std::size_t /*bytes*/) {
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
  }
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, std::int64_t m,
                               std::int64_t n, std::int64_t k, const void* alpha, const void* a, cudaDataType a_type,
                               std::int64_t lda, const void* b, cudaDataType b_type, std::int64_t ldb, const void* beta,
                               void* c, cudaDataType c_type, std::int64_t ldc, cublasComputeType_t compute,
                               cublasGemmAlgo_t /*algorithm*/) {
  using namespace cudasim;
  return queue_product(handle,
                       {m,
                        n,
                        k,
                        {a, a_type, lda, op_a != CUBLAS_OP_N},
                        {b, b_type, ldb, op_b != CUBLAS_OP_N},
                        {c, c_type, ldc, false},
                        c,
                        scalar(alpha, compute),
                        scalar(beta, compute)},
                       compute);
}

}  // extern "C"
