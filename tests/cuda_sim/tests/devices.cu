// Several GPUs: each has its memory, its streams and its default stream; an OS thread works on one at a time.
#include <thread>

#include "planted.h"

namespace cudasim::testing {
namespace {

__global__ void set_to(float* y, float value) { y[threadIdx.x] = value; }

__global__ void copy(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // memory_of_another_gpu
}

Config with_devices(int devices) {
  Config c = config();
  c.devices = devices;
  return c;
}

/// Another GPU is the current one until the end of the scope.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    EXPECT_EQ(cudaGetDevice(&before_), cudaSuccess);
    EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
  }
  ~OnDevice() { cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
};

TEST(Devices, AreAsManyAsTheConfigurationSays) {
  const WithConfig scope(with_devices(3));
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 3);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 2), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(3), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  const OnDevice second(1);
  std::thread([] {
    int device = -1;
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0) << "each thread begins with the first";
  }).join();
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
}

TEST(Devices, HaveMemoryOfTheirOwn) {
  Config c = with_devices(2);
  c.memory = 1000;
  const WithConfig scope(c);
  const auto free_bytes = [] {
    std::size_t left = 0;
    std::size_t total = 0;
    EXPECT_EQ(cudaMemGetInfo(&left, &total), cudaSuccess);
    return left;
  };
  const std::size_t before = free_bytes();
  const DeviceArray<float> x(100);
  EXPECT_EQ(free_bytes(), before - 400);
  const OnDevice second(1);
  EXPECT_EQ(free_bytes(), 1000);
  const DeviceArray<float> y(200);
  EXPECT_EQ(free_bytes(), 200);
}

TEST(Devices, CopyFromOneToTheOther) {
  const WithConfig scope(with_devices(2));
  const DeviceArray<float> x(counted(64));
  const OnDevice second(1);
  const DeviceArray<float> y(64);
  EXPECT_EQ(cudaMemcpy(y.data(), x.data(), 256, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(y.values(), counted(64));
}

TEST(Devices, HaveStreamsOfTheirOwn) {
  const WithConfig scope(with_devices(2));
  const Stream first;
  const DeviceArray<float> x(64);
  launch(set_to, {}, x.data(), 1.0F);
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, nullptr), cudaSuccess);
  {
    const OnDevice second(1);
    EXPECT_EQ(launch(set_to, {.stream = first.handle}, x.data(), 2.0F), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaEventRecord(event, nullptr), cudaErrorInvalidResourceHandle);
    static_cast<void>(cudaGetLastError());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady) << "only the work of the second was waited for";
    static_cast<void>(cudaGetLastError());
    const Stream stream;
    EXPECT_EQ(cudaStreamWaitEvent(stream.handle, event, 0), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream.handle), cudaSuccess) << "streams of two GPUs may wait for each other";
    EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  }
  EXPECT_EQ(x.values()[63], 1);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

/// What a kernel of the second GPU reads belongs to the first.
void read_memory_of_another_gpu(bool broken) {
  const WithConfig scope(with_devices(2));
  const DeviceArray<float> x(counted(64));
  const OnDevice second(1);
  const DeviceArray<float> y(64);
  const DeviceArray<float> own(counted(64));
  launch(copy, {}, broken ? x.data() : own.data(), y.data());
  cudaDeviceSynchronize();
}

void set_memory_of_another_gpu(bool broken) {
  const WithConfig scope(with_devices(2));
  const DeviceArray<float> x(64);
  const OnDevice second(1);
  const DeviceArray<float> y(64);
  cudaMemset(broken ? x.data() : y.data(), 0, 256);
}

const Plants kPlants(__FILE__, {{"memory_of_another_gpu",
                                 read_memory_of_another_gpu,
                                 {"foreign-device"},
                                 {"read of 4 bytes at allocation #", "memory of GPU 0, by GPU 1", "thread ("}},
                                {.name = "memset_on_another_gpu",
                                 .run = set_memory_of_another_gpu,
                                 .kinds = {"foreign-device"},
                                 .says = {"cudaMemset writes 256 bytes at allocation #", "memory of GPU 0, by GPU 1"},
                                 .fast_kind = "foreign-device",
                                 .marked = false}});

}  // namespace
}  // namespace cudasim::testing
