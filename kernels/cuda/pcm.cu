// Elementwise through map.cuh: 16 bytes written a thread, for which it reads 8. Floor: 6 bytes a sample over 3.35 TB/s
// (H100); the 24 million samples of a training batch of 320 pairs: 43 us, of which 90 % is to be expected: a conversion
// and a multiplication a sample are a tenth of it.
#include "kernels/cuda/map.cuh"
#include "kernels/pcm.h"

namespace earmark::kernels::cuda {
namespace {

struct Widen {
  __device__ float operator()(std::int16_t v) const { return static_cast<float>(v) * kPcmStep; }
};

}  // namespace

void widen_pcm(const WidenPcm& args) {
  map(args.pcm.numel(), Widen{}, args.pcm.data<std::int16_t>(), args.out.mutable_data<float>());
}

}  // namespace earmark::kernels::cuda
