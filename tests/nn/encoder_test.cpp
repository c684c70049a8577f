#include "nn/encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "autograd/functions.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/nn/tiny_encoders.h"

namespace earmark::nn {
namespace {

using testing::largest_difference;
using testing::same_bits;

const Variable& parameter(const Encoder& encoder, const std::string& name) {
  for (const NamedParameter& candidate : encoder.parameters()) {
    if (candidate.name == name) {
      return candidate.variable;
    }
  }
  throw std::runtime_error("no parameter " + name);
}

TEST(Encoder, HasThePapersNumberOfParameters) {
  EXPECT_EQ(make_encoder(EncoderOptions{})->parameter_count(), 19853568);
}

/// "block1.conv1.weight" and so on: the weight and bias of each layer.
void append_layers(std::vector<std::string>& names, const std::string& prefix, const std::vector<std::string>& layers) {
  for (const std::string& layer : layers) {
    names.insert(names.end(), {prefix + layer + ".weight", prefix + layer + ".bias"});
  }
}

void append_attention(std::vector<std::string>& names, const std::string& prefix) {
  names.insert(names.end(), {prefix + ".spectral.weight", prefix + ".temporal.weight"});
}

TEST(Encoder, ParameterNamesAreStable) {
  // Files of weights and of moments hang on each of them, and optimisers on their order.
  std::vector<std::string> names;
  append_layers(names, "front.", {"conv", "norm"});
  for (int block = 1; block <= 6; ++block) {
    const std::string prefix = "block" + std::to_string(block) + ".";
    append_layers(names, prefix, {"conv1", "norm1"});
    append_attention(names, prefix + "attention1");
    append_layers(names, prefix, {"conv2", "norm2"});
    if (block > 1) {
      append_layers(names, prefix, {"identity"});
    }
    append_attention(names, prefix + "attention2");
  }
  append_layers(names, "head.", {"hidden", "output"});
  std::vector<std::string> statistics;
  const auto append_statistics = [&](const std::string& norm) {
    statistics.insert(statistics.end(), {norm + ".running_mean", norm + ".running_variance"});
  };
  append_statistics("front.norm");
  for (int block = 1; block <= 6; ++block) {
    append_statistics("block" + std::to_string(block) + ".norm1");
    append_statistics("block" + std::to_string(block) + ".norm2");
  }

  const auto encoder = make_encoder(tiny_options());
  std::vector<std::string> found;
  for (const NamedParameter& parameter : encoder->parameters()) {
    found.push_back(parameter.name);
  }
  EXPECT_EQ(found, names);
  found.clear();
  for (const NamedBuffer& buffer : encoder->buffers()) {
    found.push_back(buffer.name);
  }
  EXPECT_EQ(found, statistics);
}

TEST(Encoder, EveryOptionGivesUnitRowsInBothModes) {
  for (const Attention attention : {Attention::none, Attention::once, Attention::twice}) {
    for (const AttentionLogits logits : {AttentionLogits::tanh, AttentionLogits::plain}) {
      for (const AttentionScale scale : {AttentionScale::hundred, AttentionScale::area}) {
        EncoderOptions options = tiny_options();
        options.attention = attention;
        options.attention_logits = logits;
        options.attention_scale = scale;
        options.convolution_init =
            logits == AttentionLogits::tanh ? ConvolutionInit::kaiming : ConvolutionInit::pytorch;
        const auto encoder = make_encoder(options);
        const Tensor x = random_segments(3, options);
        for (const bool training : {true, false}) {
          encoder->set_training(training);
          const Tensor y = encoder->forward(Variable(x)).value();
          ASSERT_EQ(y.shape(), (Shape{3, 8}));
          for (std::int64_t row = 0; row < 3; ++row) {
            double square = 0;
            for (std::int64_t i = 0; i < 8; ++i) {
              square += std::pow(static_cast<double>(y.data<float>()[row * 8 + i]), 2);
            }
            EXPECT_NEAR(square, 1, 1e-5);
          }
        }
      }
    }
  }
}

TEST(Encoder, ZeroAttentionWithAreaScaleStartsAsNoAttention) {
  EncoderOptions with = tiny_options();
  with.attention_init = AttentionInit::zero;
  with.attention_scale = AttentionScale::area;
  EncoderOptions without = tiny_options();
  without.attention = Attention::none;
  const Tensor x = random_segments(4, with);
  const Tensor a = make_encoder(with, 5)->forward(Variable(x)).value();
  const Tensor b = make_encoder(without, 5)->forward(Variable(x)).value();
  EXPECT_LT(largest_difference(a, b), 1e-5);
  with.attention_init = AttentionInit::normal;
  EXPECT_GT(largest_difference(make_encoder(with, 5)->forward(Variable(x)).value(), b), 1e-3);
}

TEST(Encoder, SeedDecidesTheStartAndOptionsLeaveOtherParametersAlone) {
  EncoderOptions without = tiny_options();
  without.attention = Attention::none;
  const auto a = make_encoder(tiny_options(), 3);
  const auto b = make_encoder(without, 3);
  const auto c = make_encoder(tiny_options(), 4);
  const std::string name = "block5.conv2.weight";
  EXPECT_TRUE(same_bits(parameter(*a, name).value(), parameter(*b, name).value()));
  EXPECT_FALSE(same_bits(parameter(*a, name).value(), parameter(*c, name).value()));
}

TEST(Encoder, InitialWeightsHaveTheirDeviation) {
  EncoderOptions options;
  options.attention_deviation = 0.5;
  options.width = 8;
  options.convolution_init = ConvolutionInit::kaiming;
  const auto encoder = make_encoder(options);
  const auto deviation = [&](const std::string& name) {
    const Tensor& tensor = parameter(*encoder, name).value();
    double square = 0;
    for (const float value : tensor.values<float>()) {
      square += static_cast<double>(value) * value;
    }
    return std::sqrt(square / static_cast<double>(tensor.numel()));
  };
  EXPECT_NEAR(deviation("block1.attention1.spectral.weight"), 0.5, 0.05);
  EXPECT_NEAR(deviation("block6.conv2.weight"), std::sqrt(2.0 / (9 * 256)), 0.001);
  EXPECT_NEAR(deviation("head.hidden.weight"), 1 / std::sqrt(12.0 * 3), 0.01);
}

/// An encoder whose running statistics have moved, so that folding has something to fold.
std::shared_ptr<Encoder> trained(const EncoderOptions& options) {
  const auto encoder = make_encoder(options, 11);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    encoder->forward(Variable(random_segments(6, options, DType::f32, seed)));
  }
  return encoder;
}

TEST(Encoder, EmbedIsForwardWithRunningStatistics) {
  for (const Attention attention : {Attention::none, Attention::once, Attention::twice}) {
    EncoderOptions options = tiny_options();
    options.attention = attention;
    const auto encoder = trained(options);
    const Tensor x = random_segments(9, options, DType::f32, 99);
    const Tensor embedded = encoder->embed(x);
    encoder->set_training(false);
    EXPECT_LT(largest_difference(embedded, encoder->forward(Variable(x)).value()), 2e-5);
  }
}

TEST(Encoder, EmbedFollowsTheWeights) {
  const auto encoder = trained(tiny_options());
  const Tensor x = random_segments(2, tiny_options(), DType::f32, 99);
  const Tensor before = encoder->embed(x);
  EXPECT_TRUE(same_bits(before, encoder->embed(x)));
  parameter(*encoder, "front.norm.weight").value().fill(-0.7);
  encoder->weights_changed();
  EXPECT_FALSE(same_bits(before, encoder->embed(x)));
}

TEST(Encoder, EmbedIsTheSameForAnyBatchThreadCountAndCaller) {
  const auto encoder = trained(tiny_options());
  const Tensor x = random_segments(13, tiny_options(), DType::f32, 5);
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor alone = encoder->embed(x);
  set_num_threads(2);
  const Tensor together = encoder->embed(x);
  EXPECT_TRUE(same_bits(alone, together));
  std::vector<Tensor> results(2);
  std::thread first([&] { results[0] = encoder->embed(x); });
  std::thread second([&] { results[1] = encoder->embed(x); });
  first.join();
  second.join();
  set_num_threads(threads);
  EXPECT_TRUE(same_bits(results[0], alone));
  EXPECT_TRUE(same_bits(results[1], alone));
  EXPECT_LT(largest_difference(encoder->embed(x.slice(3, 4)), alone.slice(3, 4)), 1e-6);
}

TEST(Encoder, EveryParameterButCancelledBiasesGetsAGradient) {
  const auto encoder = make_encoder(tiny_options());
  const Variable y = encoder->forward(Variable(random_segments(4, tiny_options())));
  nt_xent(y, 0.1).loss.backward();
  for (const NamedParameter& entry : encoder->parameters()) {
    const bool cancelled = entry.name.find("conv") != std::string::npos && entry.name.ends_with(".bias");
    EXPECT_EQ(static_cast<bool>(entry.variable.grad()), !cancelled) << entry.name;
  }
}

TEST(Encoder, RefusesOtherShapesAndUnknownTypes) {
  const auto encoder = make_encoder(tiny_options());
  EXPECT_THROW(encoder->forward(Variable(Tensor({1, 17, 21, 1}))), Error);
  EXPECT_THROW(encoder->embed(Tensor({17, 20, 1})), Error);
  EXPECT_THROW(encoder->embed(Tensor({1, 17, 20, 1}, DType::f64)), Error);
  EncoderOptions options = tiny_options();
  options.type = "nonsense";
  EXPECT_THROW(make_encoder(options), Error);
}

TEST(Encoder, MovingDropsGradientsAndChangesNothingElse) {
  const auto encoder = trained(tiny_options());
  const Tensor x = random_segments(3, tiny_options(), DType::f32, 5);
  const Tensor before = encoder->embed(x);
  nt_xent(encoder->forward(Variable(random_segments(4, tiny_options()))), 0.1).loss.backward();
  EXPECT_EQ(encoder->device(), Device{});
  encoder->to(Device{});
  EXPECT_FALSE(encoder->parameters().front().variable.grad());
  const Tensor moved = encoder->embed(x);
  EXPECT_FALSE(same_bits(before, moved)) << "one more batch moved the running statistics";
  EXPECT_TRUE(same_bits(moved, encoder->embed(x)));
}

TEST(Encoder, EmbedsNothingToNothing) {
  EXPECT_EQ(make_encoder(tiny_options())->embed(Tensor({0, 17, 20, 1})).shape(), (Shape{0, 8}));
}

TEST(Encoder, InBf16GivesNearlyTheSameFingerprintsAndFp32Gradients) {
  const auto encoder = make_encoder(tiny_options());
  const Tensor x = random_segments(6, tiny_options());
  const Tensor want = encoder->forward(Variable(x)).value();
  encoder->set_activation_type(DType::bf16);
  EXPECT_EQ(encoder->activation_type(), DType::bf16);
  const Variable y = encoder->forward(Variable(x));
  ASSERT_EQ(y.value().dtype(), DType::f32);
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < want.values<float>().size(); ++i) {
    error += std::pow(y.value().values<float>()[i] - want.values<float>()[i], 2);
    square += std::pow(want.values<float>()[i], 2);
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(std::sqrt(error / square), 0.1);
  nt_xent(y, 0.1).loss.backward();
  for (const NamedParameter& parameter : encoder->parameters()) {
    if (parameter.variable.grad()) {
      EXPECT_EQ(parameter.variable.grad().dtype(), DType::f32) << parameter.name;
    }
  }
}

TEST(Encoder, OtherActivationTypesAreRefused) {
  EXPECT_THROW(make_encoder(tiny_options())->set_activation_type(DType::f16), Error);
  EXPECT_THROW(make_encoder(tiny_options(), 1, DType::f64)->set_activation_type(DType::bf16), Error);
  const auto encoder = make_encoder(tiny_options(), 1, DType::f64);
  encoder->set_activation_type(DType::f64);
  EXPECT_EQ(encoder->activation_type(), DType::f64);
}

}  // namespace
}  // namespace earmark::nn
