#include "kernels/optimizer.h"

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

class GpuOptimizer : public GpuTest {};

/// More parameters than one launch takes, the first and last of sizes around a block's share; some are empty, one has
/// no gradient.
std::vector<AdamParameter> parameters(DType dtype, Device device) {
  std::vector<AdamParameter> all;
  const std::vector<std::int64_t> sizes{1, 2047, 2048, 2049, 5000, 0, 33};
  for (std::size_t i = 0; i < 260; ++i) {
    const Shape shape{sizes[i % sizes.size()] % (i < 14 || i >= 250 ? 10000 : 40)};
    const auto make = [&](std::uint64_t stream) { return draw(shape, Domain::normal, dtype, i, stream).to(device); };
    const Tensor square = draw(shape, Domain::positive, dtype, i, 3).to(device);
    all.push_back({make(0), i == 40 ? Tensor() : make(1), make(2), square});
  }
  return all;
}

TEST_F(GpuOptimizer, AdamStepsAsOnTheCpu) {
  const kernels::AdamOptions options{.step = 3, .learning_rate = 0.01, .weight_decay = 0.1, .gradient_scale = 0.5};
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto here = parameters(dtype, {});
    const auto there = parameters(dtype, kGpu);
    kernels::adam_step(here, options);
    kernels::adam_step(there, options);
    const double slack = dtype == DType::f32 ? 1e-6 : 1e-14;
    for (std::size_t i = 0; i < here.size(); ++i) {
      expect_each_near(there[i].value, here[i].value, slack, i);
      expect_each_near(there[i].moment1, here[i].moment1, slack, i);
      expect_each_near(there[i].moment2, here[i].moment2, slack, i);
    }
  }
}

TEST_F(GpuOptimizer, AScheduleSaysStepAndLearningRate) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto told = parameters(dtype, kGpu);
    const auto shown = parameters(dtype, kGpu);
    const Tensor schedule({3}, DType::f64, kGpu);
    for (int step = 1; step <= 3; ++step) {
      const kernels::AdamOptions options{.step = step, .learning_rate = 0.1 / step, .weight_decay = 0.2};
      kernels::adam_step(told, options);
      kernels::set_schedule(options, schedule);
      kernels::adam_step(shown, {.weight_decay = 0.2, .schedule = schedule});
    }
    for (std::size_t i = 0; i < told.size(); ++i) {
      const Tensor want = told[i].value.to(Device{});
      EXPECT_EQ(std::memcmp(shown[i].value.to(Device{}).raw(), want.raw(), want.bytes()), 0) << i;
    }
  }
}

TEST_F(GpuOptimizer, GatedStepsAreTheCpusAndStopForGood) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto step = [&](Device device) {
      const std::vector<AdamParameter> all = parameters(dtype, device);
      std::vector<Tensor> gradients;
      for (const AdamParameter& p : all) {
        gradients.push_back(p.grad);
      }
      const Tensor gate = kernels::open_gate(device);
      const auto update = [&](double loss, double maximum) {
        kernels::update_gate({gradients, Tensor::full({}, loss, dtype, device), maximum, gate});
        kernels::adam_step(all, {.learning_rate = 0.01, .gate = gate});
        return gate.to(Device{}).clone();
      };
      std::vector<Tensor> results{update(1, 0), update(1, 2), all[3].value.to(Device{}).clone()};
      results.push_back(update(std::numeric_limits<double>::infinity(), 2));
      results.push_back(update(1, 2));
      results.push_back(all[3].value.to(Device{}));
      return results;
    };
    const std::vector<Tensor> here = step({});
    const std::vector<Tensor> there = step(kGpu);
    for (std::size_t i = 0; i < here.size(); ++i) {
      for (std::int64_t j = 0; j < here[i].numel(); ++j) {
        const double want = here[i].to(DType::f64).data<double>()[j];
        const double got = there[i].to(DType::f64).data<double>()[j];
        EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : std::abs(got - want) <= 1e-6 * (1 + std::abs(want)))
            << "result " << i << ", element " << j << ": " << got << ", expected " << want;
      }
    }
    for (const Tensor& stopped : {there[3], there[4]}) {
      EXPECT_TRUE(std::isnan(stopped.data<double>()[1]));
    }
    EXPECT_EQ(std::memcmp(there[2].raw(), there[5].raw(), there[2].bytes()), 0) << "updated behind a closed gate";
  }
}

TEST_F(GpuOptimizer, NormsAreTheCpus) {
  std::vector<Tensor> here;
  std::vector<Tensor> there;
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const AdamParameter& p : parameters(dtype, {})) {
      here.push_back(p.grad);
      there.push_back(p.grad ? p.grad.to(kGpu) : Tensor());
    }
  }
  const double norm = kernels::grad_norm(here);
  EXPECT_NEAR(kernels::grad_norm(there), norm, 1e-12 * norm);
  EXPECT_EQ(kernels::grad_norm(there), kernels::grad_norm(there)) << "not the same bits twice";
  EXPECT_NEAR(kernels::clip_grad_norm(there, 1), norm, 1e-12 * norm);
  EXPECT_NEAR(kernels::grad_norm(there), 1, 1e-5);
  there[3].fill(std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(std::isnan(kernels::grad_norm(there)));
  EXPECT_EQ(kernels::grad_norm(std::vector<Tensor>{Tensor::zeros({0}, DType::f32, kGpu)}), 0);
}

}  // namespace
}  // namespace earmark::testing
