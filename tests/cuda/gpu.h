// Tests that need a GPU, real or simulated: on a machine without one they are skipped.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/memory.h"
#include "kernels/device.h"

namespace earmark::testing {

inline constexpr Device kGpu{Backend::cuda, 0};

inline void skip_without_gpu() {
  std::string why;
  if (kernels::cuda::device_count(&why) == 0) {
    GTEST_SKIP() << why;
  }
}

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override { skip_without_gpu(); }
};

template <class T>
class GpuTestWithParam : public ::testing::TestWithParam<T> {
 protected:
  void SetUp() override { skip_without_gpu(); }
};

}  // namespace earmark::testing
