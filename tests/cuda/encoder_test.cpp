// The whole network on a GPU: what it embeds, its gradients, and a few steps of training, against the CPU.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "autograd/functions.h"
#include "nn/model.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"
#include "train/adam.h"

namespace earmark::testing {
namespace {

class GpuEncoder : public GpuTest {};

nn::EncoderOptions small() {
  nn::EncoderOptions options;
  options.width = 4;
  options.bands = 16;
  options.frames = 12;
  options.embedding = 8;
  options.head_hidden = 4;
  return options;
}

Tensor segments(std::int64_t count, DType dtype, std::uint64_t seed) {
  return draw({count, small().bands, small().frames, 1}, Domain::normal, dtype, seed);
}

/// The network after two batches, so that running statistics have moved.
std::shared_ptr<nn::Encoder> make(DType dtype, Device device) {
  const auto encoder = nn::make_encoder(small(), 3, dtype);
  encoder->to(device);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    encoder->forward(Variable(segments(4, dtype, seed).to(device)));
  }
  return encoder;
}

TEST_F(GpuEncoder, EmbedsAsTheCpu) {
  const auto cpu = make(DType::f32, {});
  const auto gpu = make(DType::f32, kGpu);
  for (const std::int64_t count : {1, 5}) {
    const Tensor x = segments(count, DType::f32, 7);
    const Tensor got = gpu->embed(x.to(kGpu));
    EXPECT_EQ(got.device(), kGpu);
    EXPECT_LT(distance(got, cpu->embed(x)), 2e-5) << count;
  }
  EXPECT_EQ(gpu->embed(segments(0, DType::f32, 7).to(kGpu)).shape(), (Shape{0, 8}));
  gpu->set_training(false);
  const Tensor x = segments(2, DType::f32, 8).to(kGpu);
  EXPECT_LT(distance(gpu->forward(Variable(x)).value(), gpu->embed(x)), 2e-5);
}

TEST_F(GpuEncoder, WhitensAsTheCpu) {
  nn::EncoderOptions options = small();
  options.whitening = true;
  const auto cpu = nn::make_encoder(options, 3);
  const auto gpu = nn::make_encoder(options, 3);
  gpu->to(kGpu);
  const Tensor matrix = draw({8, 8}, Domain::normal, DType::f64, 5);
  cpu->set_whitening(matrix);
  gpu->set_whitening(matrix);
  const Tensor x = segments(5, DType::f32, 7);
  EXPECT_LT(distance(gpu->embed(x.to(kGpu)), cpu->embed(x)), 2e-5);
  gpu->set_training(false);
  EXPECT_LT(distance(gpu->forward(Variable(x.to(kGpu))).value(), cpu->embed(x)), 2e-5);
}

TEST_F(GpuEncoder, GradientsErrAsLittleAsTheCpus) {
  const auto gradients = [](DType dtype, Device device) {
    const auto encoder = nn::make_encoder(small(), 3, dtype);
    encoder->to(device);
    const Variable y = encoder->forward(Variable(segments(4, dtype, 5).to(device)));
    nt_xent(y, 0.1).loss.backward();
    std::vector<Tensor> all{y.value()};
    for (const nn::NamedParameter& parameter : encoder->parameters()) {
      if (parameter.variable.grad()) {
        EXPECT_EQ(parameter.variable.grad().device(), device);
        all.push_back(parameter.variable.grad());
      }
    }
    return all;
  };
  const std::vector<Tensor> exact = gradients(DType::f64, {});
  const std::vector<Tensor> cpu = gradients(DType::f32, {});
  const std::vector<Tensor> gpu = gradients(DType::f32, kGpu);
  ASSERT_EQ(gpu.size(), exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_LE(distance(gpu[i], exact[i]), 4 * distance(cpu[i], exact[i]) + 2e-6 * (1e-3 + length(exact[i]))) << i;
  }
}

/// Loss and gradients of a step, and fingerprints without the batch's statistics: nothing of it may be without a kernel
/// for bf16, and all that is rounded to it is as far from the truth as on the CPU.
double error_in_bf16(const nn::EncoderOptions& options, Device device) {
  const auto results = [&](DType weights, DType activations, Device on) {
    const auto encoder = nn::make_encoder(options, 3, weights);
    encoder->to(on);
    encoder->set_activation_type(activations);
    const Variable x(segments(4, weights, 5).to(on));
    const Variable y = encoder->forward(x);
    nt_xent(y, 0.1).loss.backward();
    std::vector<Tensor> all{y.value()};
    for (const nn::NamedParameter& parameter : encoder->parameters()) {
      if (parameter.variable.grad()) {
        EXPECT_EQ(parameter.variable.grad().dtype(), weights) << parameter.name;
        all.push_back(parameter.variable.grad());
      }
    }
    encoder->set_training(false);
    all.push_back(encoder->forward(x).value());
    return all;
  };
  const std::vector<Tensor> exact = results(DType::f64, DType::f64, {});
  const std::vector<Tensor> got = results(DType::f32, DType::bf16, device);
  double error = 0;
  EXPECT_EQ(got.size(), exact.size());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += distance(got[i], exact[i]) / (1e-3 + length(exact[i]));
  }
  return error / static_cast<double>(exact.size());
}

TEST_F(GpuEncoder, InBf16ErrsNoMoreThanTheCpuWhateverTheOptions) {
  using nn::Attention;
  using nn::AttentionLogits;
  using nn::AttentionScale;
  nn::EncoderOptions options = small();
  for (const auto& [attention, logits, scale] :
       {std::tuple{Attention::none, AttentionLogits::plain, AttentionScale::area},
        std::tuple{Attention::once, AttentionLogits::plain, AttentionScale::hundred},
        std::tuple{Attention::twice, AttentionLogits::tanh, AttentionScale::area}}) {
    options.attention = attention;
    options.attention_logits = logits;
    options.attention_scale = scale;
    const double cpu = error_in_bf16(options, {});
    EXPECT_GT(cpu, 0);
    EXPECT_LT(error_in_bf16(options, kGpu), 2 * cpu) << static_cast<int>(attention);
  }
}

TEST_F(GpuEncoder, TrainsAsTheCpu) {
  const auto losses = [](Device device) {
    const auto encoder = nn::make_encoder(small(), 3);
    encoder->to(device);
    train::Adam adam(*encoder, {});
    std::vector<double> all;
    for (int step = 0; step < 4; ++step) {
      const NtXentResult result = nt_xent(encoder->forward(Variable(segments(6, DType::f32, 5).to(device))), 0.1);
      all.push_back(result.loss.value().item());
      result.loss.backward();
      adam.step(1e-3, result.loss.value());
      EXPECT_TRUE(std::isfinite(adam.norm().item()));
      encoder->weights_changed();
    }
    return all;
  };
  const std::vector<double> cpu = losses({});
  const std::vector<double> gpu = losses(kGpu);
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_NEAR(gpu[i], cpu[i], 1e-4) << "step " << i;
  }
  EXPECT_LT(gpu.back(), gpu.front());
}

TEST_F(GpuEncoder, MovesThereAndBack) {
  const auto stays = make(DType::f32, {});
  const auto moves = make(DType::f32, {});
  const Variable before = moves->parameters().front().variable;
  moves->to(kGpu);
  EXPECT_EQ(moves->device(), kGpu);
  EXPECT_EQ(before.value().device(), kGpu) << "variables stay the same";
  EXPECT_THROW(moves->embed(segments(1, DType::f32, 7)), Error) << "segments on the CPU, weights on the GPU";
  EXPECT_THROW(moves->forward(Variable(segments(1, DType::f32, 7))), Error);
  moves->to({});
  const Tensor x = segments(3, DType::f32, 7);
  EXPECT_EQ(distance(moves->embed(x), stays->embed(x)), 0);
}

TEST_F(GpuEncoder, AModelOnAGpuIsTheSameModel) {
  FeatureOptions features;
  nn::EncoderOptions options = small();
  const nn::Model model = nn::make_model(features, options, 5);
  const std::string hash = nn::model_hash(model);
  model.encoder->to(kGpu);
  EXPECT_EQ(nn::model_hash(model), hash);
}

}  // namespace
}  // namespace earmark::testing
