// The largest element in two launches: blocks take every so-many-th 16 bytes of x, then one block takes what they
// found. Floor: one pass over x at 3.35 TB/s (H100); the comparisons are a tenth of that. 80 % of it is to be expected
// where x is some hundred megabytes; a batch's spectrograms are a few, and the two launches are all of the time.
#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/maximum.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = kVector<float>;
constexpr std::int64_t kMostParts = 1024;  // blocks of the first launch

/// out (gridDim.x) = the largest of each block's share of x (count).
__global__ void __launch_bounds__(kThreads) largest_kernel(const float* x, std::int64_t count, float* out) {
  const bool wide = is_aligned<kWide>(x);
  float largest = -INFINITY;
  for (std::int64_t i = kWide * thread_index(); i < count; i += kWide * thread_count()) {
    const Vector<float, kWide> values = load_some<kWide>(x, i, count, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      largest = i + k < count ? Maximum{}(largest, values[k]) : largest;
    }
  }
  largest = block_max<kThreads>(largest);
  if (threadIdx.x == 0) {
    out[blockIdx.x] = largest;
  }
}

}  // namespace

void maximum(const MaximumOf& args) {
  const std::int64_t count = args.x.numel();
  const std::int64_t parts =
      std::clamp<std::int64_t>((count + kWide * kThreads - 1) / (kWide * kThreads), 1, kMostParts);
  const Tensor found({parts}, DType::f32, args.x.device());
  launch(largest_kernel, blocks(parts, kThreads), args.x.data<float>(), count, found.mutable_data<float>());
  launch(largest_kernel, blocks(1, kThreads), found.data<float>(), parts, args.out.mutable_data<float>());
}

}  // namespace earmark::kernels::cuda
