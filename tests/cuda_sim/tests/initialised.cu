// Memory that is read before it was written.
#include <cmath>

#include "planted.h"

namespace cudasim::testing {
namespace {

__global__ void read_half_written(float* y, unsigned written) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  if (i < written) {
    tile[i] = 1;
  }
  __syncthreads();
  y[i] = tile[i];  // uninitialised_shared
}

__global__ void add_one(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x] + 1;  // uninitialised_global
}

/// A new block finds nothing of what the one before it left.
__global__ void read_what_another_block_left(float* y, bool broken) {
  __shared__ float left[64];
  const unsigned i = threadIdx.x;
  if (!broken || blockIdx.x == 0) {
    left[i] = 1;
  }
  y[blockIdx.x * 64 + i] = left[i];  // shared_of_another_block
}

void run_read_half_written(bool broken) {
  const DeviceArray<float> y(64);
  launch(read_half_written, {}, y.data(), broken ? 32U : 64U);
}
void run_add_one(bool broken) {
  const DeviceArray<float> x(64);
  const DeviceArray<float> y(64);
  if (!broken) {
    cudaMemset(x.data(), 0, 64 * sizeof(float));
  }
  launch(add_one, {}, x.data(), y.data());
}
void run_read_what_another_block_left(bool broken) {
  const DeviceArray<float> y(128);
  launch(read_what_another_block_left, {.blocks = 2}, y.data(), broken);
}

TEST(Uninitialised, IsNotANumberInBothBuilds) {
  const WithConfig scope({.verbose = false});
  const DeviceArray<float> x(64);
  const DeviceArray<float> y(64);
  launch(add_one, {}, x.data(), y.data());
  EXPECT_TRUE(std::isnan(y.values()[63]));
  take_reports();
}

TEST(Uninitialised, ResultsAreNotANumberUntilTheHostWaits) {
  const DeviceArray<float> x(std::vector<float>(64, 1));
  const DeviceArray<float> y(64);
  launch(add_one, {}, x.data(), y.data());
  float result = 5;
  EXPECT_EQ(cudaMemcpyAsync(&result, y.data(), sizeof result, cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
  EXPECT_TRUE(std::isnan(result));
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(result, 2);
}

const Plants kPlants(__FILE__, {{"uninitialised_shared",
                                 run_read_half_written,
                                 {"uninitialised-shared"},
                                 {"read of __shared__ 'tile' + ", "never written", "thread ("}},
                                {"uninitialised_global",
                                 run_add_one,
                                 {"uninitialised-global"},
                                 {"read of allocation #", "(256 bytes) + ", "never written", "thread (", "add_one"}},
                                {"shared_of_another_block",
                                 run_read_what_another_block_left,
                                 {"uninitialised-shared"},
                                 {"__shared__ 'left' + ", "block (1, 0, 0)", "thread ("}}});

}  // namespace
}  // namespace cudasim::testing
