#include "kernels/lamb.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/compare_tensors.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::AdamParameter;

class GpuLamb : public GpuTest {};

/// More layers than one launch takes, the first and last of sizes around a block's share; some are empty, one has no
/// gradient, one is zero, and some are slices that are not aligned.
std::vector<AdamParameter> layers(DType dtype, Device device) {
  std::vector<AdamParameter> all;
  const std::vector<std::int64_t> sizes{1, 2047, 2048, 2049, 5000, 0, 33};
  for (std::size_t i = 0; i < 260; ++i) {
    const std::int64_t size = sizes[i % sizes.size()] % (i < 14 || i >= 250 ? 10000 : 40);
    const auto part = [&](const Tensor& t) { return t.to(device).slice(1, size + 1); };
    const auto make = [&](std::uint64_t stream) { return part(draw({size + 1}, Domain::normal, dtype, i, stream)); };
    const Tensor square = part(draw({size + 1}, Domain::positive, dtype, i, 3));
    all.push_back(
        {i == 11 ? Tensor::zeros({size}, dtype, device) : make(0), i == 40 ? Tensor() : make(1), make(2), square});
  }
  return all;
}

TEST_F(GpuLamb, StepsAsOnTheCpu) {
  const kernels::AdamOptions options{.step = 3, .learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.5};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto here = layers(dtype, {});
    const auto there = layers(dtype, kGpu);
    kernels::lamb_step(here, options);
    kernels::lamb_step(there, options);
    const double slack = dtype == DType::f32 ? 2e-6 : 1e-13;
    for (std::size_t i = 0; i < here.size(); ++i) {
      expect_each_near(there[i].value, here[i].value, slack, i);
      expect_each_near(there[i].moment1, here[i].moment1, slack, i);
      expect_each_near(there[i].moment2, here[i].moment2, slack, i);
    }
  }
}

TEST_F(GpuLamb, AScheduleSaysStepAndLearningRate) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto told = layers(dtype, kGpu);
    const auto shown = layers(dtype, kGpu);
    const Tensor schedule({3}, DType::f64, kGpu);
    for (int step = 1; step <= 3; ++step) {
      const kernels::AdamOptions options{.step = step, .learning_rate = 0.1 / step, .weight_decay = 0.2};
      kernels::lamb_step(told, options);
      kernels::set_lamb_schedule(options, schedule);
      kernels::lamb_step(shown, {.weight_decay = 0.2, .schedule = schedule});
    }
    for (std::size_t i = 0; i < told.size(); ++i) {
      const Tensor want = told[i].value.to(Device{});
      EXPECT_EQ(std::memcmp(shown[i].value.to(Device{}).raw(), want.raw(), want.bytes()), 0) << i;
    }
  }
}

TEST_F(GpuLamb, AGateScalesGradientsAndAClosedOneLetsNothingMove) {
  const auto gated = layers(DType::f32, kGpu);
  const auto scaled = layers(DType::f32, kGpu);
  const auto gate = [](double factor) { return Tensor::full({2}, factor, DType::f64, kGpu); };
  kernels::lamb_step(gated, {.learning_rate = 0.01, .gate = gate(0.25)});
  kernels::lamb_step(scaled, {.learning_rate = 0.01, .gradient_scale = 0.25});
  kernels::lamb_step(gated, {.step = 2, .learning_rate = 0.01, .gate = gate(std::numeric_limits<double>::quiet_NaN())});
  for (std::size_t i = 0; i < gated.size(); ++i) {
    EXPECT_EQ(largest_difference(gated[i].value, scaled[i].value), 0) << i;
    EXPECT_EQ(largest_difference(gated[i].moment1, scaled[i].moment1), 0) << i;
    EXPECT_EQ(largest_difference(gated[i].moment2, scaled[i].moment2), 0) << i;
  }
}

}  // namespace
}  // namespace earmark::testing
