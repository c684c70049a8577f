#include "kernels/cuda/blas.h"

#include <map>
#include <memory>
#include <type_traits>

#include "kernels/cuda/graph_memory.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

struct DestroyBlas {
  void operator()(cublasHandle_t handle) const { static_cast<void>(cublasDestroy(handle)); }
};
using BlasHandle = std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, DestroyBlas>;

}  // namespace

cublasHandle_t blas() {
  thread_local std::map<int, BlasHandle> handles;
  BlasHandle& handle = handles[current_device()];
  if (!handle) {
    cublasHandle_t fresh = nullptr;
    CUBLAS_CHECK(cublasCreate(&fresh));
    handle.reset(fresh);
  }
  CUBLAS_CHECK(cublasSetStream(handle.get(), current_stream()));  // the workspace is the handle's own again
  if (Arena* const arena = recording_arena()) {
    CUBLAS_CHECK(cublasSetWorkspace(handle.get(), arena->workspace(), kBlasWorkspace));
  }
  return handle.get();
}

}  // namespace earmark::kernels::cuda
