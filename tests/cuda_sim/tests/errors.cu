// What host code must cope with: machines without a GPU, memory that runs out, kernels that fail, wrong arguments.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "simulator.h"

namespace cudasim::testing {
namespace {

__global__ void set_to(float* y, float value) { y[threadIdx.x] = value; }

__global__ void wait_in_vain() {
  if (threadIdx.x == 0) {
    __syncthreads();
  }
}

Config with_driver(Driver driver) {
  Config c = config();
  c.driver = driver;
  return c;
}

/// What every program asks first, and what it gets when it does not ask.
void expect_no_device(Driver driver, cudaError_t status) {
  const WithConfig scope(with_driver(driver));
  int count = 5;
  EXPECT_EQ(cudaGetDeviceCount(&count), status);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(cudaGetLastError(), status);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "it was asked for already";
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), status);
  EXPECT_EQ(cudaMallocHost(&memory, 16), status);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(cudaSetDevice(0), status);
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), status);
  EXPECT_EQ(launch(wait_in_vain, {}), status);
  EXPECT_EQ(cudaDeviceSynchronize(), status);
  static_cast<void>(cudaGetLastError());
}

TEST(Machine, WithoutAGpu) { expect_no_device(Driver::without_device, cudaErrorNoDevice); }

TEST(Machine, WithoutADriver) { expect_no_device(Driver::missing, cudaErrorInsufficientDriver); }

TEST(Machine, WithAnOldDriver) { expect_no_device(Driver::old, cudaErrorInsufficientDriver); }

TEST(Machine, HasOneGpu) {
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDevice), "invalid device ordinal");
}

TEST(Memory, RunsOutAtTheAllocationThatATestChooses) {
  fail_allocations(2, 2);
  std::array<void*, 4> memory{};
  std::array<cudaError_t, 4> status{};
  for (std::size_t i = 0; i < memory.size(); ++i) {
    status[i] = cudaMallocAsync(&memory[i], 100, nullptr);
  }
  EXPECT_EQ(status[0], cudaSuccess);
  EXPECT_EQ(status[1], cudaErrorMemoryAllocation);
  EXPECT_EQ(status[2], cudaErrorMemoryAllocation);
  EXPECT_EQ(status[3], cudaSuccess);
  EXPECT_EQ(memory[1], nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  cudaFree(memory[0]);
  cudaFree(memory[3]);
}

TEST(Memory, OfTheHostRunsOutAtTheAllocationThatATestChooses) {
  const std::uint64_t before = calls().host_allocations;
  fail_host_allocations(2);
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_EQ(cudaMallocHost(&first, 100), cudaSuccess);
  EXPECT_EQ(cudaMallocHost(&second, 100), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMallocHost(&second, 100), cudaSuccess);
  EXPECT_EQ(calls().host_allocations, before + 3);
  cudaFreeHost(first);
  cudaFreeHost(second);
}

TEST(Creation, FailsWhereATestChooses) {
  const std::uint64_t before = calls().creations;
  fail_creation(2);
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), cudaSuccess);
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaSuccess);
  EXPECT_EQ(calls().creations, before + 3);
  cudaEventDestroy(event);
  cudaStreamDestroy(stream);
}

TEST(Memory, IsAsMuchAsTheConfigurationSays) {
  Config small = config();
  small.memory = live_memory().bytes + 1000;
  const WithConfig scope(small);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 1001), cudaErrorMemoryAllocation);
  static_cast<void>(cudaGetLastError());
  ASSERT_EQ(cudaMalloc(&memory, 600), cudaSuccess);
  std::size_t free_bytes = 0;
  std::size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free_bytes, &total), cudaSuccess);
  EXPECT_EQ(total, small.memory);
  EXPECT_EQ(free_bytes, 400);
  cudaFree(memory);
}

TEST(Memory, IsCountedWhileItLives) {
  const LiveMemory before = live_memory();
  void* device = nullptr;
  void* host = nullptr;
  ASSERT_EQ(cudaMalloc(&device, 1000), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&host, 10), cudaSuccess);
  EXPECT_EQ(live_memory().allocations, before.allocations + 1);
  EXPECT_EQ(live_memory().bytes, before.bytes + 1000);
  EXPECT_EQ(live_memory().pinned, before.pinned + 1);
  EXPECT_EQ(cudaFreeAsync(device, nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
  EXPECT_EQ(live_memory().allocations, before.allocations);
  EXPECT_EQ(live_memory().bytes, before.bytes);
  EXPECT_EQ(live_memory().pinned, before.pinned);
}

/// Freed blocks rest, so that late accesses are noticed, but not for ever.
TEST(Memory, OfShortLivesIsUsedAgain) {
  std::vector<void*> seen;
  for (int i = 0; i < 100; ++i) {
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 12345), cudaSuccess);
    seen.push_back(memory);
    cudaFree(memory);
  }
  EXPECT_EQ(std::set<void*>(seen.begin(), seen.begin() + 64).size(), 64);
  EXPECT_LT(std::set<void*>(seen.begin(), seen.end()).size(), 100);
}

/// Large ones would take the machine's memory with them: they are used again at once, small ones beside them are not.
TEST(Memory, OfLargeBlocksIsUsedAgainAtOnce) {
  constexpr std::size_t kLarge = std::size_t{65} << 20U;
  constexpr std::size_t kSmall = 54321;
  const auto place_of = [](std::size_t bytes) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, bytes), cudaSuccess);
    cudaFree(memory);
    return memory;
  };
  void* const large = place_of(kLarge);
  EXPECT_EQ(place_of(kLarge), large);
  EXPECT_NE(place_of(kSmall), place_of(kSmall));
}

TEST(Kernel, FailsAtTheLaunchThatATestChooses) {
  const DeviceArray<float> y(std::vector<float>(64, 1));
  const std::uint64_t before = calls().launches;
  fail_launch(2, LaunchFailure::refused);
  EXPECT_EQ(launch(set_to, {}, y.data(), 2.0F), cudaSuccess);
  EXPECT_EQ(launch(set_to, {}, y.data(), 3.0F), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(y.values()[0], 2.0F) << "what was refused did not run, and did no harm";
  EXPECT_EQ(calls().launches, before + 2);
  EXPECT_EQ(failed_kernel(), "set_to");
  fail_launch(1, LaunchFailure::faulting);
  EXPECT_EQ(launch(set_to, {}, y.data(), 4.0F), cudaSuccess) << "that it fails is seen when it runs";
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(set_to, {}, y.data(), 5.0F), cudaErrorIllegalAddress);
  reset_device();
  static_cast<void>(cudaGetLastError());
  EXPECT_EQ(y.values()[0], 2.0F);
}

/// As on a GPU, nothing works after a kernel failed, until the process (here: reset_device) starts anew.
TEST(Kernel, ThatFailsLeavesAnErrorForGood) {
  Config quiet = config();
  quiet.verbose = false;
  const WithConfig scope(quiet);
  const DeviceArray<float> y(std::vector<float>(64, 1));
  EXPECT_EQ(launch(wait_in_vain, {}), cudaSuccess) << "that it fails is seen when it runs";
  EXPECT_EQ(launch(set_to, {}, y.data(), 2.0F), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_EQ(take_reports().size(), 1);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "for good";
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorLaunchFailure);
  EXPECT_EQ(launch(set_to, {}, y.data(), 2.0F), cudaErrorLaunchFailure);
  reset_device();
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(y.values()[0], 1) << "what was queued behind it never ran";
  EXPECT_EQ(launch(set_to, {}, y.data(), 3.0F), cudaSuccess);
  EXPECT_EQ(y.values()[0], 3);
}

TEST(Launch, RefusesImpossibleGrids) {
  const auto status = [](dim3 grid, dim3 threads) {
    cudaLaunchConfig_t c{};
    c.gridDim = grid;
    c.blockDim = threads;
    return cudaLaunchKernelEx(&c, wait_in_vain);
  };
  EXPECT_EQ(status(dim3(1), dim3(0)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(0), dim3(1)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(1), dim3(1025)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(1), dim3(1, 1, 65)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(1, 65536), dim3(1)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(status(dim3(1, 1, 65536), dim3(1)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "not for good";
}

TEST(Launch, MuchSharedMemoryMustBeAskedFor) {
  const DeviceArray<float> y(64);
  constexpr std::size_t kMuch = std::size_t{100} << 10U;
  EXPECT_EQ(launch(set_to, {.shared = kMuch}, y.data(), 1.0F), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(set_to, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(set_to, cudaFuncAttributeMaxDynamicSharedMemorySize, kMuch), cudaSuccess);
  EXPECT_EQ(launch(set_to, {.shared = kMuch}, y.data(), 1.0F), cudaSuccess);
  static_cast<void>(cudaGetLastError());
  EXPECT_EQ(y.values()[63], 1);
}

TEST(Launch, NamesKernels) {
  const char* name = nullptr;
  ASSERT_EQ(cudaFuncGetName(&name, reinterpret_cast<const void*>(set_to)), cudaSuccess);
  EXPECT_NE(std::string(name).find("set_to"), std::string::npos) << name;
}

/// What the environment says is read when a program starts: this one starts itself.
std::string output_of(const std::string& environment) {
  std::array<char, 1000> text{};
  std::snprintf(text.data(), text.size(), "%s CUDASIM_CHILD=1 /proc/%d/exe --gtest_filter=Environment.OfAChild 2>&1",
                environment.c_str(), getpid());
  std::string output;
  FILE* const child = popen(text.data(), "r");
  while (std::fgets(text.data(), static_cast<int>(text.size()), child) != nullptr) {
    output += text.data();
  }
  output += "status " + std::to_string(WEXITSTATUS(pclose(child)));
  return output;
}

TEST(Environment, OfAChild) {
  if (std::getenv("CUDASIM_CHILD") == nullptr) {
    GTEST_SKIP() << "is started by the other tests";
  }
  int count = 0;
  void* memory = nullptr;
  std::printf("devices: %s\n", cudaGetErrorName(cudaGetDeviceCount(&count)));
  for (int i = 1; i <= 3; ++i) {
    std::printf("allocation %d: %s\n", i, cudaGetErrorName(cudaMalloc(&memory, 100)));
  }
  std::printf("order %d, seed %d\n", static_cast<int>(config().order), static_cast<int>(config().seed));
}

TEST(Environment, ChoosesDriverMemoryAndOrder) {
  EXPECT_NE(output_of("CUDASIM_DRIVER=without_device").find("devices: cudaErrorNoDevice"), std::string::npos);
  EXPECT_NE(output_of("CUDASIM_DRIVER=old").find("devices: cudaErrorInsufficientDriver"), std::string::npos);
  EXPECT_NE(output_of("CUDASIM_MEMORY=250").find("2: cudaSuccess\nallocation 3: cudaErrorMemoryAllocation"),
            std::string::npos);
  EXPECT_NE(output_of("CUDASIM_ORDER=reverse CUDASIM_SEED=7").find("order 1, seed 7"), std::string::npos);
}

TEST(Environment, RefusesNonsense) {
  for (const char* wrong :
       {"CUDASIM_ORDER=backwards", "CUDASIM_SEED=-1", "CUDASIM_SEED=1x", "CUDASIM_DRIVER=new", "CUDASIM_MEMORY=lots"}) {
    const std::string output = output_of(wrong);
    EXPECT_TRUE(output.ends_with("status 2")) << wrong << "\n" << output;
    EXPECT_NE(output.find(": expected "), std::string::npos) << output;
  }
}

}  // namespace
}  // namespace cudasim::testing
