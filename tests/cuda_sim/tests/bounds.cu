// Accesses outside of what a kernel may touch.
#include <numeric>

#include "planted.h"

extern __shared__ __align__(16) unsigned char earmark_dynamic_shared[];

namespace cudasim::testing {
namespace {

/// One element too far when `shift` is 1.
__global__ void write_shifted(float* p, int shift) {
  p[threadIdx.x + shift] = 1;  // write_past_global
}

__global__ void read_shifted(const float* p, float* y, int shift) {
  y[threadIdx.x] = p[threadIdx.x + shift];  // read_past_global
}

/// Of 240 bytes: the next variable begins at a multiple of 128, so that there is something in between.
__global__ void write_static_shared(float* y, int shift) {
  __shared__ float tile[60];
  float* const shifted = tile + shift;
  shifted[threadIdx.x] = 1;  // past_static_shared
  y[threadIdx.x] = shifted[threadIdx.x];
}

__global__ void index_array(float* y, int shift) {
  __shared__ float board[64];
  board[threadIdx.x + shift] = 1;  // array_index
  y[threadIdx.x] = board[threadIdx.x + shift];
}

__global__ void write_dynamic_shared(float* y, int shift) {
  float* const tile = reinterpret_cast<float*>(earmark_dynamic_shared);
  tile[threadIdx.x + shift] = 1;  // past_dynamic_shared
  y[threadIdx.x] = tile[threadIdx.x + shift];
}

__global__ void read_vector(const float* x, float* y, int shift) {
  const float4 value = *reinterpret_cast<const float4*>(x + shift + 4 * threadIdx.x);  // misaligned_float4
  y[threadIdx.x] = value.x + value.y + value.z + value.w;
}

__global__ void read_freed(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // use_after_free
}

__global__ void read_host(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // host_pointer
}

template <int bytes>
__global__ void use_stack(float* y) {
  volatile char local[bytes];
  for (int i = bytes - 1; i >= 0; i -= 1024) {
    local[i] = static_cast<char>(i);  // stack_overflow
  }
  y[threadIdx.x] = local[bytes - 1];
}

template <bool broken>
__global__ void read_neighbours_local(float* y) {
  __shared__ const float* place[32];
  __shared__ float value[32];
  const unsigned i = threadIdx.x;
  volatile float own = static_cast<float>(i);
  place[i] = const_cast<const float*>(&own);
  value[i] = own;
  __syncthreads();
  y[i] = broken ? *place[i ^ 1U] : value[i ^ 1U];  // local_memory_of_others
  __syncthreads();
}

void run_write_shifted(bool broken) {
  const DeviceArray<float> p(64);
  launch(write_shifted, {}, p.data(), broken ? 1 : 0);
}
void run_read_shifted(bool broken) {
  const DeviceArray<float> p(counted(64));
  const DeviceArray<float> y(64);
  launch(read_shifted, {}, p.data(), y.data(), broken ? 1 : 0);
}
void run_write_static_shared(bool broken) {
  const DeviceArray<float> y(64);
  launch(write_static_shared, {.threads = 60}, y.data(), broken ? 1 : 0);
}
void run_index_array(bool broken) {
  const DeviceArray<float> y(64);
  launch(index_array, {}, y.data(), broken ? 1 : 0);
}
void run_write_dynamic_shared(bool broken) {
  const DeviceArray<float> y(64);
  launch(write_dynamic_shared, {.shared = 64 * sizeof(float)}, y.data(), broken ? 1 : 0);
}
void run_read_vector(bool broken) {
  const DeviceArray<float> x(counted(4 * 64 + 1));
  const DeviceArray<float> y(64);
  launch(read_vector, {}, x.data(), y.data(), broken ? 1 : 0);
}
void run_read_freed(bool broken) {
  float* x = nullptr;
  cudaMalloc(reinterpret_cast<void**>(&x), 64 * sizeof(float));
  cudaMemset(x, 0, 64 * sizeof(float));
  const DeviceArray<float> y(64);
  if (broken) {
    cudaFree(x);
  }
  launch(read_freed, {}, x, y.data());
  if (!broken) {
    cudaFree(x);
  }
}
void run_read_host(bool broken) {
  std::vector<float> ordinary(64, 1);
  float* pinned = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&pinned), 64 * sizeof(float));
  std::iota(pinned, pinned + 64, 0.0F);
  const DeviceArray<float> y(64);
  launch(read_host, {}, broken ? ordinary.data() : pinned, y.data());
  cudaFreeHost(pinned);
}
void run_use_stack(bool broken) {
  const DeviceArray<float> y(64);
  launch(broken ? use_stack<100000> : use_stack<30000>, {}, y.data());
}
void run_read_neighbours_local(bool broken) {
  const DeviceArray<float> y(32);
  launch(broken ? read_neighbours_local<true> : read_neighbours_local<false>, {.threads = 32}, y.data());
}

const Plants kPlants(
    __FILE__,
    {{"write_past_global",
      run_write_shifted,
      {"out-of-bounds-global"},
      {"write of 4 bytes", "0 bytes past the end of allocation #", "(256 bytes)", "thread (63, 0, 0)", "write_shifted"},
      "red-zone"},
     {"read_past_global",
      run_read_shifted,
      {"out-of-bounds-global"},
      {"read of 4 bytes", "0 bytes past the end of allocation #", "(256 bytes)", "thread (63, 0, 0)"}},
     {"past_static_shared",
      run_write_static_shared,
      {"out-of-bounds-shared"},
      {"write of 4 bytes", "just behind 'tile'", "thread (59, 0, 0)"}},
     {"array_index",
      run_index_array,
      {"undefined", "out-of-bounds-shared"},
      {"array index out of bounds", "thread (63, 0, 0)"}},
     {"past_dynamic_shared",
      run_write_dynamic_shared,
      {"out-of-bounds-shared"},
      {"dynamic shared memory + 256", "has 256 bytes", "thread (63, 0, 0)"}},
     {"misaligned_float4", run_read_vector, {"misaligned"}, {"read of 16 bytes", "allocation #", " + ", "thread ("}},
     {"use_after_free",
      run_read_freed,
      {"use-after-free"},
      {"allocation #", "(256 bytes) + ", "which was freed", "thread ("}},
     {"host_pointer", run_read_host, {"host-pointer"}, {"read of 4 bytes of ordinary host memory", "thread ("}},
     {"stack_overflow",
      run_use_stack,
      {"device-fault"},
      {"stack overflows: more than 65536 bytes", "thread ("},
      "device-fault"},
     {"local_memory_of_others",
      run_read_neighbours_local,
      {"foreign-stack"},
      {"read of 4 bytes in another thread's local memory", "thread ("}}});

}  // namespace
}  // namespace cudasim::testing
