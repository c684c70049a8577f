// How many kernels the optimiser starts for a whole network: as few as its parameters allow, however many those are.
#include <gtest/gtest.h>

#include <vector>

#include "cudasim/control.h"
#include "kernels/lamb.h"
#include "kernels/optimizer.h"
#include "nn/encoder.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

/// As many parameters as the encoder of the paper has, each of them small.
std::vector<kernels::AdamParameter> encoder_parameters() {
  nn::EncoderOptions options;
  options.width = 4;
  options.bands = 16;
  options.frames = 12;
  options.embedding = 8;
  options.head_hidden = 4;
  options.attention = nn::Attention::twice;
  const auto encoder = nn::make_encoder(options, 1);
  std::vector<kernels::AdamParameter> all;
  for (const nn::NamedParameter& p : encoder->parameters()) {
    const Tensor value = p.variable.value().to(kGpu);
    all.push_back({value, Tensor::full(value.shape(), 0.5, value.dtype(), kGpu), zeros_like(value), zeros_like(value)});
  }
  return all;
}

TEST(Launches, AdamMovesTheWholeEncoderInOne) {
  const std::vector<kernels::AdamParameter> parameters = encoder_parameters();
  ASSERT_GE(parameters.size(), 78U);
  const std::uint64_t before = cudasim::calls().launches;
  kernels::adam_step(parameters, {});
  EXPECT_EQ(cudasim::calls().launches - before, 1U);
}

TEST(Launches, LambMovesItInThree) {
  const std::vector<kernels::AdamParameter> layers = encoder_parameters();
  const std::uint64_t before = cudasim::calls().launches;
  kernels::lamb_step(layers, {});
  EXPECT_EQ(cudasim::calls().launches - before, 3U) << "moments, the layers' ratios, values";
}

TEST(Launches, TheNormOfAllGradientsTakesThree) {
  const Tensor gate = kernels::open_gate(kGpu);
  const Tensor loss = Tensor::full({}, 1, DType::f32, kGpu);
  std::vector<Tensor> gradients;
  for (const kernels::AdamParameter& p : encoder_parameters()) {
    gradients.push_back(p.grad);
  }
  const std::uint64_t before = cudasim::calls().launches;
  kernels::update_gate({gradients, loss, 1, gate});
  EXPECT_EQ(cudasim::calls().launches - before, 3U) << "squares of the pieces, their sum, the gate";
}

}  // namespace
}  // namespace earmark::testing
