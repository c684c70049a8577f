// Threads, blocks and streams that touch the same memory with nothing in between to order them.
#include "planted.h"

namespace cudasim::testing {
namespace {

template <bool broken>
__global__ void mirror(float* p) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = 0;
  __syncthreads();
  tile[i] = p[i];
  if constexpr (!broken) {
    __syncthreads();
  }
  p[i + 64] = tile[63 - i];  // missing_syncthreads
}

template <bool broken>
__global__ void swap_neighbours(float* p) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = 0;
  __syncwarp();
  tile[i] = p[i];
  if constexpr (!broken) {
    __syncwarp();
  }
  p[i] = tile[i ^ 1U];  // missing_syncwarp
}

/// Eight lanes that meet among themselves have not met the others.
template <bool broken>
__global__ void swap_in_a_quarter(float* p) {
  __shared__ float tile[32];
  const unsigned lane = threadIdx.x;
  tile[lane] = 0;
  __syncwarp();
  tile[lane] = p[lane];
  if (lane < 8) {
    __syncwarp(0xffU);
    p[lane] = tile[broken ? lane + 8 : lane ^ 1U];  // syncwarp_of_others
  }
}

/// What one lane reads after the others have met it is its own to change.
template <bool broken>
__global__ void sum_up_by_one_lane(float* p) {
  __shared__ float row[32];
  const unsigned lane = threadIdx.x;
  row[lane] = p[lane];
  __syncwarp();
  p[lane] = row[lane];
  if constexpr (!broken) {
    __syncwarp();
  }
  if (lane == 0) {
    for (int i = 1; i < 32; ++i) {
      row[i] += row[i - 1];  // one_lane_for_all
    }
  }
  __syncwarp();
  p[lane] = row[lane];
}

template <bool broken>
__global__ void count(float* p) {
  const unsigned i = broken ? threadIdx.x : blockIdx.x * blockDim.x + threadIdx.x;
  p[i] = p[i] + 1;  // blocks_without_atomics
}

template <bool broken>
__global__ void histogram(const float* x, int* bins) {
  __shared__ int own[8];
  const unsigned i = threadIdx.x;
  if (i < 8) {
    own[i] = 0;
  }
  __syncthreads();
  int* const bin = &own[static_cast<unsigned>(x[i]) % 8];
  if constexpr (broken) {
    *bin = *bin + 1;  // threads_without_atomics
  } else {
    atomicAdd(bin, 1);
  }
  __syncthreads();
  if (i < 8) {
    atomicAdd(&bins[i], own[i]);
  }
}

/// Neighbours of one word belong to different threads: no race. Two threads on one byte: one.
template <bool broken>
__global__ void write_bytes(unsigned char* p) {
  const unsigned i = threadIdx.x;
  p[broken && i == 9 ? 8 : i] = static_cast<unsigned char>(i);  // two_threads_on_one_byte
}

__global__ void scale(const float* x, float* y) {
  y[threadIdx.x] = 2 * x[threadIdx.x];  // wrong_stream
}

void run_mirror(bool broken) {
  const DeviceArray<float> p(counted(128));
  launch(broken ? mirror<true> : mirror<false>, {}, p.data());
}
void run_swap_neighbours(bool broken) {
  const DeviceArray<float> p(counted(64));
  launch(broken ? swap_neighbours<true> : swap_neighbours<false>, {}, p.data());
}
void run_swap_in_a_quarter(bool broken) {
  const DeviceArray<float> p(counted(32));
  launch(broken ? swap_in_a_quarter<true> : swap_in_a_quarter<false>, {.threads = 32}, p.data());
}
void run_sum_up_by_one_lane(bool broken) {
  const DeviceArray<float> p(counted(32));
  launch(broken ? sum_up_by_one_lane<true> : sum_up_by_one_lane<false>, {.threads = 32}, p.data());
}
void run_count(bool broken) {
  const DeviceArray<float> p(counted(256));
  launch(broken ? count<true> : count<false>, {.blocks = 4}, p.data());
}
void run_histogram(bool broken) {
  const DeviceArray<float> x(counted(64));
  const DeviceArray<int> bins(std::vector<int>(8));
  launch(broken ? histogram<true> : histogram<false>, {}, x.data(), bins.data());
}
void run_write_bytes(bool broken) {
  const DeviceArray<unsigned char> p(64);
  launch(broken ? write_bytes<true> : write_bytes<false>, {}, p.data());
}

/// Two streams that other streams do not wait for.
class TwoStreams {
 public:
  TwoStreams() {
    EXPECT_EQ(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
  }
  ~TwoStreams() {
    cudaStreamDestroy(first);
    cudaStreamDestroy(second);
    cudaEventDestroy(event_);
  }
  void order() {
    cudaEventRecord(event_, first);
    cudaStreamWaitEvent(second, event_, 0);
  }
  cudaStream_t first = nullptr;
  cudaStream_t second = nullptr;

 private:
  cudaEvent_t event_ = nullptr;
};

void run_wrong_stream(bool broken) {
  const DeviceArray<float> x(counted(64));
  const DeviceArray<float> y(counted(64));
  const DeviceArray<float> z(64);
  TwoStreams streams;
  launch(scale, {.stream = streams.first}, x.data(), y.data());
  if (!broken) {
    streams.order();
  }
  launch(scale, {.stream = streams.second}, y.data(), z.data());
  cudaDeviceSynchronize();
}

void run_free_in_use(bool broken) {
  TwoStreams streams;
  const DeviceArray<float> y(64);
  float* x = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&x), 64 * sizeof(float));
  cudaMemset(x, 0, 64 * sizeof(float));
  launch(scale, {.stream = streams.first}, x, y.data());
  if (!broken) {
    streams.order();
  }
  cudaFreeAsync(x, streams.second);
  cudaDeviceSynchronize();
}

const Plants kPlants(
    __FILE__,
    {{"missing_syncthreads",
      run_mirror,
      {"race-block"},
      {"__shared__ 'tile' + ", " by thread ", "no barrier in between", "block (0, 0, 0), thread (", "mirror<true>"}},
     {"missing_syncwarp",
      run_swap_neighbours,
      {"race-block"},
      {"__shared__ 'tile' + ", " by thread ", "no barrier in between", "thread ("}},
     {"syncwarp_of_others", run_swap_in_a_quarter, {"race-block"}, {"__shared__ 'tile' + ", " by thread ", "thread ("}},
     {"one_lane_for_all", run_sum_up_by_one_lane, {"race-block"}, {"__shared__ 'row' + ", " by thread ", "thread ("}},
     {"blocks_without_atomics",
      run_count,
      {"race-grid"},
      {"allocation #", "(1024 bytes)", " by block ", "of the same launch", "thread ("}},
     {"threads_without_atomics", run_histogram, {"race-block"}, {"__shared__ 'own' + ", " by thread ", "thread ("}},
     {"two_threads_on_one_byte", run_write_bytes, {"race-block"}, {"allocation #", "(64 bytes) + 8", "thread ("}},
     {"wrong_stream",
      run_wrong_stream,
      {"race-stream"},
      {"allocation #", "(256 bytes) + ", "'scale' of another stream", "thread ("}},
     {.name = "free_in_use",
      .run = run_free_in_use,
      .kinds = {"race-stream", "use-after-free"},
      .says = {"allocation #", "(256 bytes) + "},
      .marked = false}});

}  // namespace
}  // namespace cudasim::testing
