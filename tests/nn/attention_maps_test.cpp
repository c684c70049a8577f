// What attention_maps() says is compared with the formula in kernels/spectral_temporal_attention.h, computed in double
// on activations that the differentiable operations give, layer by layer from the encoder's own parameters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "autograd/batch_norm.h"
#include "autograd/conv.h"
#include "autograd/functions.h"
#include "autograd/spectral_temporal_attention.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "nn/encoder.h"
#include "tests/nn/tiny_encoders.h"

namespace earmark::nn {
namespace {

using ::testing::ElementsAre;

EncoderOptions with_attention(Attention attention) {
  EncoderOptions options = tiny_options();
  options.attention = attention;
  options.attention_init = AttentionInit::normal;
  options.attention_deviation = 0.1;  // Logits of a size at which no softmax is all in one place.
  options.attention_scale = AttentionScale::area;
  return options;
}

void fill(const Tensor& x, std::uint64_t seed, double deviation, double mean = 0) {
  RandomStream random(seed);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(mean + deviation * random.normal());
  }
}

// Softmax over `axis` (1: bands, 2: frames) of g(sum over the other axis of x times the channel's weights): (N, K, C).
std::vector<double> reference_softmax(const Tensor& x, const Tensor& weight, int axis, bool tanh_logits) {
  const std::int64_t count = x.dim(axis);
  const std::int64_t other = x.dim(3 - axis);
  const std::int64_t channels = x.dim(3);
  std::vector<double> out(static_cast<std::size_t>(x.dim(0) * count * channels));
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (std::int64_t k = 0; k < count; ++k) {
        double logit = 0;
        for (std::int64_t i = 0; i < other; ++i) {
          const std::int64_t f = axis == 1 ? k : i;
          const std::int64_t t = axis == 1 ? i : k;
          logit += static_cast<double>(x.data<float>()[((n * x.dim(1) + f) * x.dim(2) + t) * channels + c]) *
                   weight.data<float>()[c * other + i];
        }
        const double power = std::exp(tanh_logits ? std::tanh(logit) : logit);
        out[static_cast<std::size_t>((n * count + k) * channels + c)] = power;
        sum += power;
      }
      for (std::int64_t k = 0; k < count; ++k) {
        out[static_cast<std::size_t>((n * count + k) * channels + c)] /= sum;
      }
    }
  }
  return out;
}

// The encoder once more, from its parameters by name, with nothing folded or fused.
class PlainEncoder {
 public:
  explicit PlainEncoder(const Encoder& encoder) : options_(encoder.options()) {
    for (const NamedParameter& entry : encoder.parameters()) {
      parameters_[entry.name] = entry.variable;
    }
    for (const NamedBuffer& entry : encoder.buffers()) {
      buffers_[entry.name] = entry.tensor;
    }
  }

  /// Goes through the blocks and compares every module's maps.
  void compare(const Tensor& x, const std::vector<AttentionMaps>& maps) {
    maps_ = &maps;
    Variable y = relu(conv_norm(Variable(x), "front.conv", "front.norm", 1));
    for (int block = 1; block <= 6; ++block) {
      const std::string name = "block" + std::to_string(block);
      const int stride = block == 1 ? 1 : 2;
      const Variable inner = attend(relu(conv_norm(y, name + ".conv1", name + ".norm1", stride)), name + ".attention1");
      const Variable identity =
          block == 1 ? y
                     : conv2d(y, parameters_.at(name + ".identity.weight"), parameters_.at(name + ".identity.bias"),
                              ConvOptions::centred(1, 1, stride, stride));
      y = attend(relu(add(conv_norm(inner, name + ".conv2", name + ".norm2", 1), identity)), name + ".attention2");
    }
    EXPECT_EQ(compared_, maps.size());
  }

 private:
  Variable conv_norm(const Variable& x, const std::string& conv, const std::string& norm, int stride) {
    const Variable y = conv2d(x, parameters_.at(conv + ".weight"), parameters_.at(conv + ".bias"),
                              ConvOptions::centred(3, 3, stride, stride));
    return batch_norm(y, parameters_.at(norm + ".weight"), parameters_.at(norm + ".bias"),
                      {buffers_.at(norm + ".running_mean"), buffers_.at(norm + ".running_variance")},
                      {.training = false});
  }

  Variable attend(const Variable& x, const std::string& name) {
    if (!parameters_.contains(name + ".spectral.weight")) {
      return x;
    }
    const Variable& spectral = parameters_.at(name + ".spectral.weight");
    const Variable& temporal = parameters_.at(name + ".temporal.weight");
    const AttentionOptions attention{options_.attention_logits == AttentionLogits::tanh,
                                     static_cast<double>(x.shape()[1] * x.shape()[2])};
    const AttentionMaps& found = maps_->at(compared_++);
    EXPECT_EQ(found.module, name);
    EXPECT_EQ(found.scale, attention.scale);
    const Tensor value = x.value();
    expect_near(found.spectral, {value.dim(0), value.dim(1), value.dim(3)},
                reference_softmax(value, spectral.value(), 1, attention.tanh_logits));
    expect_near(found.temporal, {value.dim(0), value.dim(2), value.dim(3)},
                reference_softmax(value, temporal.value(), 2, attention.tanh_logits));
    return spectral_temporal_attention(x, spectral, temporal, attention);
  }

  static void expect_near(const Tensor& found, const Shape& shape, const std::vector<double>& wanted) {
    ASSERT_EQ(found.shape(), shape);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(found.data<float>()[i], wanted[i], 2e-5 + 2e-4 * wanted[i]) << "element " << i << " of " << shape;
    }
  }

  EncoderOptions options_;
  std::map<std::string, Variable> parameters_;
  std::map<std::string, Tensor> buffers_;
  const std::vector<AttentionMaps>* maps_ = nullptr;
  std::size_t compared_ = 0;
};

std::shared_ptr<Encoder> trained_a_little(const EncoderOptions& options) {
  const auto encoder = make_encoder(options, 3);
  // Statistics and shifts as training might leave them: folding them away must matter.
  std::uint64_t seed = 100;
  for (const NamedBuffer& buffer : encoder->buffers()) {
    const bool variance = buffer.name.ends_with("variance");
    fill(buffer.tensor, ++seed, 0.1, variance ? 1 : 0);
  }
  for (const NamedParameter& entry : encoder->parameters()) {
    if (entry.name.find(".norm") != std::string::npos && entry.name.ends_with(".bias")) {
      fill(entry.variable.value(), ++seed, 0.2);
    }
  }
  encoder->weights_changed();
  return encoder;
}

TEST(AttentionMaps, AreTheReferencesSoftmaxesInEveryBlock) {
  for (const AttentionLogits logits : {AttentionLogits::tanh, AttentionLogits::plain}) {
    EncoderOptions options = with_attention(Attention::twice);
    options.attention_logits = logits;
    const auto encoder = trained_a_little(options);
    const Tensor x({3, options.bands, options.frames, 1});
    fill(x, 5, 1);
    const std::vector<AttentionMaps> maps = encoder->attention_maps(x);
    ASSERT_EQ(maps.size(), 12U);
    PlainEncoder(*encoder).compare(x, maps);
  }
}

TEST(AttentionMaps, AreOfTheModulesThatAreThere) {
  const Tensor x({1, 17, 20, 1});
  fill(x, 6, 1);
  std::vector<std::string> names;
  for (const AttentionMaps& maps : make_encoder(with_attention(Attention::once))->attention_maps(x)) {
    names.push_back(maps.module);
  }
  EXPECT_THAT(names, ElementsAre("block1.attention2", "block2.attention2", "block3.attention2", "block4.attention2",
                                 "block5.attention2", "block6.attention2"));
  EXPECT_TRUE(make_encoder(with_attention(Attention::none))->attention_maps(x).empty());
}

TEST(AttentionMaps, LookingChangesNothingAndInputIsChecked) {
  const EncoderOptions options = with_attention(Attention::twice);
  const auto encoder = trained_a_little(options);
  const Tensor x({4, options.bands, options.frames, 1});
  fill(x, 7, 1);
  const Tensor before = encoder->embed(x);
  encoder->attention_maps(x);
  const Tensor after = encoder->embed(x);
  EXPECT_TRUE(std::equal(before.raw(), before.raw() + before.bytes(), after.raw()));
  EXPECT_THROW(encoder->attention_maps(Tensor({1, 17, 21, 1})), Error);
}

}  // namespace
}  // namespace earmark::nn
