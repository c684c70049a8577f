#include "kernels/cuda/own_stream.h"

#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {

std::shared_ptr<void> own_stream(int index) {
  struct Own {
    Stream stream;
    StreamScope scope{stream};
  };
  make_current(index);
  return std::make_shared<Own>();
}

void synchronize_stream() { CUDA_CHECK(cudaStreamSynchronize(current_stream())); }

}  // namespace earmark::kernels::cuda
