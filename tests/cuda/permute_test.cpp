// Every element size, and shapes around the border of a tile: bits must be the CPU's.
#include "kernels/permute.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

class GpuPermute : public GpuTest {};

Tensor counted(const Shape& shape, DType dtype) {
  const Tensor t(shape, dtype);
  for (std::size_t i = 0; i < t.bytes(); ++i) {
    t.raw()[i] = static_cast<std::byte>(i * 167 + i / 251);
  }
  return t;
}

void expect_equal(const Shape& shape, const std::vector<int>& axes, DType dtype) {
  const Tensor x = counted(shape, dtype);
  const Tensor want(kernels::permuted(shape, axes), dtype);
  kernels::permute(x, axes, want);
  const Tensor got(want.shape(), dtype, kGpu);
  kernels::permute(x.to(kGpu), axes, got);
  EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0) << shape << " " << name_of(dtype);
}

TEST_F(GpuPermute, MovesTheSameBitsAsTheCpu) {
  for (const DType dtype : {DType::i8, DType::bf16, DType::f32, DType::f64}) {
    expect_equal({33, 65}, {1, 0}, dtype);
    expect_equal({2, 32, 31}, {0, 2, 1}, dtype);
    expect_equal({3, 1, 40, 2}, {2, 0, 3, 1}, dtype);
    expect_equal({2, 3, 4, 5, 2, 3}, {4, 2, 0, 5, 1, 3}, dtype);
    expect_equal({4, 35, 3}, {1, 0, 2}, dtype);
    expect_equal({0, 3}, {1, 0}, dtype);
  }
}

}  // namespace
}  // namespace earmark::testing
