// NAFP's network on a GPU: what it embeds, its gradients, and steps of LAMB, against the CPU.
#include "nn/nafp_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "autograd/functions.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"
#include "train/adam.h"

namespace earmark::testing {
namespace {

class GpuNafpEncoder : public GpuTest {};

nn::EncoderOptions small_nafp() {
  nn::EncoderOptions options = nn::default_encoder_options("nafp");
  options.width = 4;
  options.bands = 20;
  options.frames = 9;
  options.embedding = 8;
  options.head_hidden = 4;
  return options;
}

Tensor nafp_segments(std::int64_t count, DType dtype, std::uint64_t seed) {
  return draw({count, small_nafp().bands, small_nafp().frames, 1}, Domain::normal, dtype, seed);
}

std::shared_ptr<nn::Encoder> make_nafp(DType dtype, Device device) {
  const auto encoder = nn::make_encoder(small_nafp(), 3, dtype);
  encoder->to(device);
  return encoder;
}

TEST_F(GpuNafpEncoder, EmbedsAsTheCpu) {
  const auto cpu = make_nafp(DType::f32, {});
  const auto gpu = make_nafp(DType::f32, kGpu);
  for (const std::int64_t count : {1, 5}) {
    const Tensor x = nafp_segments(count, DType::f32, 7);
    const Tensor got = gpu->embed(x.to(kGpu));
    EXPECT_EQ(got.device(), kGpu);
    EXPECT_LT(distance(got, cpu->embed(x)), 1e-5) << count;
    EXPECT_LT(distance(gpu->forward(Variable(x.to(kGpu))).value(), got), 1e-5) << count;
  }
  EXPECT_EQ(gpu->embed(nafp_segments(0, DType::f32, 7).to(kGpu)).shape(), (Shape{0, 8}));
}

/// What comes out and all gradients of a step.
std::vector<Tensor> step(DType weights, DType activations, Device device) {
  const auto encoder = make_nafp(weights, device);
  encoder->set_activation_type(activations);
  const Variable y = encoder->forward(Variable(nafp_segments(4, weights, 5).to(device)));
  nt_xent(y, 0.1).loss.backward();
  std::vector<Tensor> all{y.value()};
  for (const nn::NamedParameter& parameter : encoder->parameters()) {
    EXPECT_EQ(parameter.variable.grad().device(), device) << parameter.name;
    all.push_back(parameter.variable.grad());
  }
  return all;
}

TEST_F(GpuNafpEncoder, GradientsErrAsLittleAsTheCpus) {
  const std::vector<Tensor> exact = step(DType::f64, DType::f64, {});
  const std::vector<Tensor> cpu = step(DType::f32, DType::f32, {});
  const std::vector<Tensor> gpu = step(DType::f32, DType::f32, kGpu);
  ASSERT_EQ(gpu.size(), exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_LE(distance(gpu[i], exact[i]), 4 * distance(cpu[i], exact[i]) + 2e-6 * (1e-3 + length(exact[i]))) << i;
  }
}

TEST_F(GpuNafpEncoder, InBf16ErrsNoMoreThanTheCpu) {
  const std::vector<Tensor> exact = step(DType::f64, DType::f64, {});
  const auto error = [&](Device device) {
    const std::vector<Tensor> got = step(DType::f32, DType::bf16, device);
    double sum = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      sum += distance(got[i], exact[i]) / (1e-3 + length(exact[i]));
    }
    return sum / static_cast<double>(exact.size());
  };
  const double cpu = error({});
  EXPECT_GT(cpu, 0);
  EXPECT_LT(error(kGpu), 2 * cpu);
}

TEST_F(GpuNafpEncoder, TrainsAsTheCpu) {
  const auto losses = [](train::OptimizerKind kind, Device device) {
    const auto encoder = make_nafp(DType::f32, device);
    train::Adam optimiser(*encoder, {.kind = kind, .epsilon = 1e-6});
    std::vector<double> all;
    for (int number = 0; number < 3; ++number) {
      const NtXentResult result = nt_xent(encoder->forward(Variable(nafp_segments(6, DType::f32, 5).to(device))), 0.1);
      all.push_back(result.loss.value().item());
      result.loss.backward();
      optimiser.step(1e-2, result.loss.value());
      encoder->weights_changed();
    }
    return all;
  };
  for (const train::OptimizerKind kind : {train::OptimizerKind::lamb, train::OptimizerKind::adam}) {
    const std::vector<double> cpu = losses(kind, {});
    const std::vector<double> gpu = losses(kind, kGpu);
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      EXPECT_NEAR(gpu[i], cpu[i], 1e-3) << "step " << i;
    }
    EXPECT_LT(gpu.back(), gpu.front());
  }
}

}  // namespace
}  // namespace earmark::testing
