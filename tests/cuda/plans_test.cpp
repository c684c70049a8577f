// What cuDNN promises without a GPU: it makes plans for a card that is only described to it. Every convolution of the
// networks, in every pass and precision, must find an engine on an H100 and on an A100 that gives the same bits every
// time, and in TF32 and bf16 one on tensor cores wherever that counts.
#include <gtest/gtest.h>

#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <string>

#include "kernels/cuda/conv_plan.h"

namespace earmark::testing {
namespace {

using kernels::cuda::ConvPass;
using kernels::cuda::ConvPlan;
using kernels::cuda::ConvProblem;

kernels::cuda::Descriptor described(const std::string& card) {
  std::ifstream in(std::string(EARMARK_SOURCE_DIR) + "/tests/cuda/" + card + ".json");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  text.erase(text.find_last_not_of('\n') + 1);
  return kernels::cuda::device_properties(text);
}

struct Layer {
  std::string name;
  Shape x;
  Shape weight;
  ConvOptions options;
  bool residual = false;  // added before ReLU when the network embeds
  bool relu = true;
};

/// The attention encoder's convolutions on batches of (64, 96).
std::vector<Layer> layers(std::int64_t width) {
  constexpr std::int64_t kSamples = 64;
  std::int64_t bands = 64;
  std::int64_t frames = 96;
  std::vector<Layer> all{{"front", {kSamples, bands, frames, 1}, {width, 3, 3, 1}, ConvOptions::centred(3, 3, 1, 1)}};
  for (int block = 1; block <= 6; ++block) {
    const int stride = block == 1 ? 1 : 2;
    const std::int64_t in = block == 1 ? width : width << (block - 2);
    const std::int64_t out = width << (block - 1);
    const Shape x{kSamples, bands, frames, in};
    const std::string name = "block" + std::to_string(block);
    all.push_back({name + ".conv1", x, {out, 3, 3, in}, ConvOptions::centred(3, 3, stride, stride)});
    if (stride != 1) {
      all.push_back({name + ".identity", x, {out, 1, 1, in}, ConvOptions::centred(1, 1, stride, stride), false, false});
    }
    bands = (bands + stride - 1) / stride;
    frames = (frames + stride - 1) / stride;
    all.push_back(
        {name + ".conv2", {kSamples, bands, frames, out}, {out, 3, 3, out}, ConvOptions::centred(3, 3, 1, 1), true});
  }
  return all;
}

/// NAFP's convolutions on batches of (bands, frames), by turns along time and along frequency. Nothing is added to them
/// but a bias.
std::vector<Layer> nafp_layers(std::int64_t width, std::int64_t bands, std::int64_t frames) {
  constexpr std::int64_t kSamples = 64;
  Shape x{kSamples, bands, frames, 1};
  std::vector<Layer> all;
  for (int block = 1; block <= 8; ++block) {
    const std::int64_t out = width << ((block - 1) / 2);
    const int stride_t = block == 5 || block == 7 ? 1 : 2;
    const auto add = [&](const char* name, const Shape& weight, int stride_f, int stride) {
      const ConvOptions options = ConvOptions::same(x, weight, stride_f, stride);
      all.push_back({"block" + std::to_string(block) + name, x, weight, options, false, false});
      x = conv_output_shape(x, weight, options);
    };
    add(".conv1", {out, 1, 3, x[3]}, 1, stride_t);
    add(".conv2", {out, 3, 1, out}, 2, 1);
  }
  return all;
}

enum class Precision { f32, tf32, bf16 };

enum class Network { attention, nafp, nafp_same_front_end };  ///< The last on 64 bands x 96 frames, as attention.

struct PlanCase {
  std::string card;
  std::int64_t width;
  Precision precision;
  Network network = Network::attention;

  std::vector<Layer> convolutions() const {
    return network == Network::attention ? layers(width)
           : network == Network::nafp    ? nafp_layers(width, 256, 32)
                                         : nafp_layers(width, 64, 96);
  }
};

std::string name_of_case(const PlanCase& c) {
  const std::string precision = c.precision == Precision::f32    ? "f32"
                                : c.precision == Precision::tf32 ? "tf32"
                                                                 : "bf16";
  const std::string network = c.network == Network::attention ? ""
                              : c.network == Network::nafp    ? "_nafp"
                                                              : "_nafp_64_x_96";
  return c.card + network + "_width_" + std::to_string(c.width) + "_" + precision;
}
void PrintTo(const PlanCase& c, std::ostream* out) { *out << name_of_case(c); }

class ConvPlans : public ::testing::TestWithParam<PlanCase> {
 protected:
  /// Checks the plan of one problem and adds its workspace to the line that is printed.
  void expect_plan(const ConvProblem& problem, bool on_tensor_cores) {
    const auto plan = ConvPlan::make(problem, card_);
    ASSERT_TRUE(plan) << "no engine";
    EXPECT_TRUE(plan->deterministic());
    const Precision precision = GetParam().precision;
    if (precision == Precision::f32) {
      EXPECT_FALSE(plan->on_tensor_cores()) << "which would round floats to TF32";
    } else if (on_tensor_cores) {
      EXPECT_TRUE(plan->on_tensor_cores());
    }
    constexpr double kMegabyte = 1e6;
    std::cout << std::setw(8) << static_cast<double>(plan->workspace_bytes()) / kMegabyte;
  }

  kernels::cuda::Descriptor card_ = described(GetParam().card);
};

TEST_P(ConvPlans, EveryConvolutionHasAnEngine) {
  const PlanCase& c = GetParam();
  std::cout << std::fixed << std::setprecision(1)
            << "megabytes of workspace: forward, with what follows it, gradient of x, of weights\n";
  for (const Layer& layer : c.convolutions()) {
    SCOPED_TRACE(layer.name);
    std::cout << std::setw(16) << layer.name;
    // Tensor cores want several channels, and a pointwise convolution waits for memory on any engine. Of NAFP's three
    // taps along one axis the heuristics send some to other engines, on either card: an engine is all that is asked.
    const bool heavy = layer.x[3] > 1 && layer.weight[1] > 1 && layer.weight[2] > 1;
    ConvProblem problem{.pass = ConvPass::forward,
                        .x = layer.x,
                        .weight = layer.weight,
                        .options = layer.options,
                        .dtype = c.precision == Precision::bf16 ? DType::bf16 : DType::f32,
                        .tf32 = c.precision == Precision::tf32};
    expect_plan(problem, heavy);
    problem.bias = true;
    problem.add = layer.residual;
    problem.relu = layer.relu;
    expect_plan(problem, heavy);
    problem.bias = problem.add = problem.relu = false;
    for (const ConvPass pass : {ConvPass::input_gradient, ConvPass::weight_gradient}) {
      problem.pass = pass;
      expect_plan(problem, heavy);
    }
    std::cout << "\n";
  }
}

/// Shapes that no vector fits, padding on one side, other kernels: in float and double, from addresses that are only
/// aligned to elements.
TEST(ConvPlansOfOddShapes, HaveEngines) {
  const kernels::cuda::Descriptor card = described("h100");
  const Layer odd[] = {
      {"channels", {1, 3, 5, 17}, {33, 3, 3, 17}, ConvOptions::centred(3, 3, 1, 1)},
      {"one pixel", {2, 1, 1, 3}, {2, 3, 3, 3}, ConvOptions::centred(3, 3, 1, 1)},
      {"five by five", {1, 6, 7, 2}, {3, 5, 5, 2}, ConvOptions::centred(5, 5, 1, 1)},
      {"no padding", {1, 5, 6, 2}, {3, 3, 2, 2}, {}},
      {"a zero behind", {1, 3, 8, 3}, {4, 1, 3, 3}, ConvOptions::same({1, 3, 8, 3}, {4, 1, 3, 3}, 1, 2)},
      {"strides", {2, 8, 9, 4}, {5, 3, 3, 4}, ConvOptions::centred(3, 3, 2, 1)},
  };
  for (const Layer& layer : odd) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      for (const ConvPass pass : {ConvPass::forward, ConvPass::input_gradient, ConvPass::weight_gradient}) {
        const ConvProblem problem{.pass = pass,
                                  .x = layer.x,
                                  .weight = layer.weight,
                                  .options = layer.options,
                                  .dtype = dtype,
                                  .alignment = static_cast<int>(size_of(dtype))};
        const auto plan = ConvPlan::make(problem, card);
        ASSERT_TRUE(plan) << layer.name << " " << name_of(dtype) << " pass " << static_cast<int>(pass);
        EXPECT_TRUE(plan->deterministic());
      }
    }
  }
}

std::vector<PlanCase> cases() {
  std::vector<PlanCase> all;
  for (const char* card : {"h100", "a100"}) {
    for (const std::int64_t width : {8, 16, 32}) {
      for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
        all.push_back({card, width, precision});
      }
    }
  }
  for (const char* card : {"h100", "a100"}) {
    for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
      all.push_back({card, 128, precision, Network::nafp});
      all.push_back({card, 16, precision, Network::nafp});
      all.push_back({card, 128, precision, Network::nafp_same_front_end});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Networks, ConvPlans, ::testing::ValuesIn(cases()),
                         [](const auto& param) { return name_of_case(param.param); });

}  // namespace
}  // namespace earmark::testing
