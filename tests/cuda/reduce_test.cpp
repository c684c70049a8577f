// Sums over leading axes: the op cases only have those that end in one number.
#include "kernels/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/maximum.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuReduce : public GpuTest {};

Tensor column_sums(const Tensor& x, const Shape& kept) {
  const Tensor out(kept, x.dtype(), x.device());
  kernels::sum(x, out);
  return out.to(Device{});
}

/// Rows and columns around every border of the kernels: width of a block, rows of a block, number of parts.
TEST_F(GpuReduce, ColumnSumsEqualTheCpus) {
  for (const std::int64_t columns : {1, 2, 3, 16, 31, 33, 70}) {
    for (const std::int64_t rows : {0, 1, 7, 64, 1025}) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor x = draw({rows, columns}, Domain::normal, dtype, 3);
        const Tensor want = column_sums(x, {columns}).to(DType::f64);
        const Tensor got = column_sums(x.to(kGpu), {columns}).to(DType::f64);
        const double slack = dtype == DType::f32 ? 1e-6 : 1e-13;
        for (std::int64_t c = 0; c < columns; ++c) {
          EXPECT_NEAR(got.data<double>()[c], want.data<double>()[c], slack * (1 + std::abs(want.data<double>()[c])))
              << rows << " x " << columns << ", column " << c;
        }
      }
    }
  }
}

TEST_F(GpuReduce, MoreRowsThanThreads) {
  const Tensor x = Tensor::full({700001}, 0.5, DType::f32, kGpu);
  EXPECT_EQ(column_sums(x, {}).item(), 350000.5);
}

TEST_F(GpuReduce, NaNComesThrough) {
  const Tensor x = Tensor::full({5, 3}, 1);
  x.mutable_data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  const Tensor got = column_sums(x.to(kGpu), {3});
  EXPECT_EQ(got.data<float>()[0], 5);
  EXPECT_TRUE(std::isnan(got.data<float>()[1]));
  EXPECT_EQ(got.data<float>()[2], 5);
}

TEST_F(GpuReduce, MaximaAreTheCpus) {
  const auto maximum_of = [](const Tensor& x) {
    const Tensor out({1}, DType::f32, x.device());
    kernels::maximum({x, out});
    return static_cast<float>(out.to(Device{}).item());
  };
  for (const std::int64_t count : {0, 1, 3, 4, 255, 1025, 100003}) {
    const Tensor x = draw({count}, Domain::normal, DType::f32, 5);
    EXPECT_EQ(maximum_of(x.to(kGpu)), maximum_of(x)) << count;
  }
  EXPECT_EQ(maximum_of(Tensor::full({9}, -2, DType::f32, kGpu).slice(1, 8)), -2);  // not aligned
  const Tensor x = Tensor::full({5000}, 1);
  x.mutable_data<float>()[4321] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(maximum_of(x.to(kGpu))));
}

TEST_F(GpuReduce, RepeatsRows) {
  const Tensor x = draw({3, 5}, Domain::normal, DType::f32, 4);
  const Tensor want({7, 3, 5});
  kernels::repeat(x, -0.5, want);
  const Tensor got({7, 3, 5}, DType::f32, kGpu);
  kernels::repeat(x.to(kGpu), -0.5, got);
  EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0);
}

}  // namespace
}  // namespace earmark::testing
