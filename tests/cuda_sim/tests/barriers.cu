// Threads that wait for others that never come, and warp intrinsics called wrongly.
#include "planted.h"

namespace cudasim::testing {
namespace {

template <bool broken>
__global__ void wait_apart(float* p) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = p[i];
  if (broken && i < 40) {
    __syncthreads();  // divergent_barrier
  } else {
    __syncthreads();
  }
  p[i] = tile[i ^ 1U];
}

template <bool broken>
__global__ void leave_early(float* p) {
  const unsigned i = threadIdx.x;
  if (broken && i >= 40) {
    return;
  }
  __syncthreads();  // early_return
  p[i] = 1;
}

template <bool broken>
__global__ void shuffle_half(float* p) {
  const unsigned i = threadIdx.x;
  float value = p[i];
  if (i % 32 < 16) {
    value = __shfl_xor_sync(broken ? 0xffffffffU : 0x0000ffffU, value, 1);  // mask_of_absent_lanes
  }
  p[i] = value;
}

template <bool broken>
__global__ void shuffle_from_outside(float* p) {
  const unsigned i = threadIdx.x;
  float value = p[i];
  if (i % 32 < 16) {
    value = __shfl_sync(0x0000ffffU, value, broken ? 20 : 10);  // lane_outside_of_the_mask
  }
  p[i] = value;
}

template <bool broken>
__global__ void vote_without_itself(float* p) {
  const unsigned i = threadIdx.x;
  p[i] = static_cast<float>(__ballot_sync(broken ? 0x7fffffffU : 0xffffffffU, 1));  // caller_outside_of_the_mask
}

template <bool broken>
__global__ void vote_apart(float* p) {
  const unsigned i = threadIdx.x;
  unsigned value = 0;
  if (broken && i % 32 < 16) {
    value = __ballot_sync(0xffffffffU, 1);  // different_intrinsics
  } else {
    value = __reduce_max_sync(0xffffffffU, 1);
  }
  p[i] = static_cast<float>(value);
}

__global__ void shuffle_in_segments(float* p, int width) {
  const unsigned i = threadIdx.x;
  p[i] = __shfl_xor_sync(0xffffffffU, p[i], 1, width);  // width_of_no_power
}

template <void (*wrong)(float*), void (*right)(float*)>
void run(bool broken) {
  const DeviceArray<float> p(counted(64));
  launch(broken ? wrong : right, {}, p.data());
}
void run_shuffle_in_segments(bool broken) {
  const DeviceArray<float> p(counted(64));
  launch(shuffle_in_segments, {}, p.data(), broken ? 12 : 8);
}

const Plants kPlants(
    __FILE__, {{"divergent_barrier",
                run<wait_apart<true>, wait_apart<false>>,
                {"barrier-divergence"},
                {"different __syncthreads: lines ", "thread ("},
                "barrier-divergence"},
               {"early_return",
                run<leave_early<true>, leave_early<false>>,
                {"barrier-divergence"},
                {"40 threads wait at __syncthreads, 24 have left the kernel", "thread (", "leave_early<true>"},
                "barrier-divergence"},
               {"mask_of_absent_lanes",
                run<shuffle_half<true>, shuffle_half<false>>,
                {"warp-deadlock"},
                {"16 (has left the kernel)", "thread ("},
                "warp-deadlock"},
               {"lane_outside_of_the_mask",
                run<shuffle_from_outside<true>, shuffle_from_outside<false>>,
                {"warp-read-inactive"},
                {"reads lane 20", "thread ("},
                "warp-read-inactive"},
               {"caller_outside_of_the_mask",
                run<vote_without_itself<true>, vote_without_itself<false>>,
                {"warp-mask"},
                {"thread ("},
                "warp-mask"},
               {"different_intrinsics",
                run<vote_apart<true>, vote_apart<false>>,
                {"warp-divergence"},
                {"different warp intrinsics", "thread ("},
                "warp-divergence"},
               {"width_of_no_power", run_shuffle_in_segments, {"warp-width"}, {"not 12", "thread ("}, "warp-width"}});

}  // namespace
}  // namespace cudasim::testing
