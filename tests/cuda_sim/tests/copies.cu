// Mistakes of the host: copies, buffers, pointers.
#include "planted.h"

namespace cudasim::testing {
namespace {

void run_reuse_pinned(bool broken) {
  float* buffer = nullptr;
  cudaMallocHost(reinterpret_cast<void**>(&buffer), 256);
  const DeviceArray<float> x(64);
  buffer[0] = 1;
  cudaMemcpyAsync(x.data(), buffer, 256, cudaMemcpyHostToDevice, nullptr);
  if (!broken) {
    cudaStreamSynchronize(nullptr);
  }
  buffer[0] = 2;
  cudaDeviceSynchronize();
  cudaFreeHost(buffer);
}

void run_copy_too_much(bool broken) {
  const DeviceArray<float> x(64);
  const std::vector<float> values(80);
  EXPECT_EQ(cudaMemcpy(x.data(), values.data(), broken ? 320 : 256, cudaMemcpyHostToDevice),
            broken ? cudaErrorInvalidValue : cudaSuccess);
}

void run_copy_backwards(bool broken) {
  const DeviceArray<float> x(64);
  const std::vector<float> values(64);
  EXPECT_EQ(cudaMemcpy(x.data(), values.data(), 256, broken ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice),
            broken ? cudaErrorInvalidValue : cudaSuccess);
}

void run_set_too_much(bool broken) {
  const DeviceArray<float> x(64);
  EXPECT_EQ(cudaMemset(x.data(), 0, broken ? 260 : 256), broken ? cudaErrorIllegalAddress : cudaSuccess);
}

void run_free_twice(bool broken) {
  void* x = nullptr;
  cudaMalloc(&x, 256);
  EXPECT_EQ(cudaFree(x), cudaSuccess);
  if (broken) {
    EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
  }
}

const Plants kPlants(__FILE__, {{.name = "pinned_buffer_reused",
                                 .run = run_reuse_pinned,
                                 .kinds = {"source-changed"},
                                 .says = {"256 bytes", "allocation #"},
                                 .fast_kind = "source-changed",
                                 .marked = false},
                                {.name = "copy_too_long",
                                 .run = run_copy_too_much,
                                 .kinds = {"bad-copy"},
                                 .says = {"320 bytes to allocation #", "(256 bytes) + 0", "copies.cu:"},
                                 .fast_kind = "bad-copy",
                                 .marked = false},
                                {.name = "copy_in_the_wrong_direction",
                                 .run = run_copy_backwards,
                                 .kinds = {"bad-copy"},
                                 .says = {"direction does not match", "copies.cu:"},
                                 .fast_kind = "bad-copy",
                                 .marked = false},
                                {.name = "memset_too_long",
                                 .run = run_set_too_much,
                                 .kinds = {"out-of-bounds-global"},
                                 .says = {"cudaMemset writes 260 bytes at allocation #", "(256 bytes) + 0"},
                                 .fast_kind = "out-of-bounds-global",
                                 .marked = false},
                                {.name = "freed_twice",
                                 .run = run_free_twice,
                                 .kinds = {"bad-free"},
                                 .says = {"allocation #", "which was freed"},
                                 .fast_kind = "bad-free",
                                 .marked = false}});

float read_place(const volatile float* place) {
  return *place;  // host access
}

/// The processor sees it: device memory cannot be read but by what streams run. The program ends.
TEST(HostCodeDeathTest, MustNotTouchDeviceMemory) {
  const DeviceArray<float> x(counted(4));
  EXPECT_EXIT(static_cast<void>(read_place(x.data() + 1)), ::testing::ExitedWithCode(86),
              "host-access: host code touches device memory: allocation #[0-9]+ \\(16 bytes\\) \\+ 4\n.*" +
                  marked_line(__FILE__, "host access"));
  EXPECT_EQ(x.values()[1], 1);
}

}  // namespace
}  // namespace cudasim::testing
