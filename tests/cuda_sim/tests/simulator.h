// What the tests of the simulator share: device memory that frees itself, launches without ceremony, and the line of
// the test's own source that a report is expected to name.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "cudasim/control.h"

namespace cudasim::testing {

/// Device memory with these values, or never written to.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceArray() { static_cast<void>(cudaFree(data_)); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  /// Waits for all work. Ones, that is NaN or -1, where that failed.
  std::vector<T> values() const {
    std::vector<T> out(count_);
    static_cast<void>(cudaDeviceSynchronize());
    static_cast<void>(cudaMemcpy(out.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// A stream until the end of the scope.
class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&handle, flags), cudaSuccess);
  }
  ~Stream() { static_cast<void>(cudaStreamDestroy(handle)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t handle = nullptr;
};

/// 0, 1, 2, ...
inline std::vector<float> counted(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(i);
  }
  return values;
}

struct Shape {
  unsigned blocks = 1;
  unsigned threads = 64;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};

template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), const Shape& shape, A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared;
  config.stream = shape.stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

/// "races.cu:41", the line of `file` that ends with the comment "// <mark>".
std::string marked_line(const char* file, const std::string& mark);

/// Runs the simulator with other settings until the end of the scope.
class WithConfig {
 public:
  explicit WithConfig(const Config& other) : before_(config()) { config() = other; }
  ~WithConfig() { config() = before_; }
  WithConfig(const WithConfig&) = delete;
  WithConfig& operator=(const WithConfig&) = delete;

 private:
  Config before_;
};

}  // namespace cudasim::testing
