#include "nn/nafp_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "autograd/functions.h"
#include "kernels/elementwise.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "nn/model.h"
#include "tests/compare_tensors.h"
#include "tests/nn/tiny_encoders.h"
#include "tests/test_support.h"

namespace earmark::nn {
namespace {

using testing::largest_difference;
using testing::same_bits;

TEST(NafpEncoder, HasItsPapersNumberOfParameters) {
  EncoderOptions options = default_encoder_options("nafp");
  EXPECT_EQ(options.width, 128);
  options.bands = 256;
  options.frames = 32;
  EXPECT_EQ(flattened_size(options), 1024);
  EXPECT_EQ(make_encoder(options)->parameter_count(), 16939008);
  options.frames = 63;  // two seconds: what its authors' code says it counts
  EXPECT_EQ(make_encoder(options)->parameter_count(), 19224576);
}

TEST(NafpEncoder, FitsTheOtherFrontEnd) {
  EncoderOptions options = default_encoder_options("nafp");
  options.width = 16;
  EXPECT_EQ(flattened_size(options), 128 * 1 * 2) << "64 bands halved eight times, 96 frames six times";
  const auto encoder = make_encoder(options);
  EXPECT_EQ(encoder->embed(random_segments(2, options)).shape(), (Shape{2, 128}));
}

TEST(NafpEncoder, ParameterNamesAndShapesAreStable) {
  // Files of weights and of moments hang on each of them, and optimisers on their order.
  const auto encoder = make_encoder(tiny_nafp_options());
  ASSERT_EQ(encoder->parameters().size(), 8U * 8U + 4U);
  EXPECT_TRUE(encoder->buffers().empty());
  std::size_t i = 0;
  const auto next = [&](const std::string& name, const Shape& shape) {
    EXPECT_EQ(encoder->parameters().at(i).name, name);
    EXPECT_EQ(encoder->parameters().at(i).variable.shape(), shape) << name;
    ++i;
  };
  const std::int64_t bands[] = {37, 19, 10, 5, 3, 2, 1, 1, 1};
  const std::int64_t frames[] = {21, 11, 6, 3, 2, 2, 1, 1, 1};
  const std::int64_t channels[] = {1, 2, 2, 4, 4, 8, 8, 16, 16};
  for (int block = 1; block <= 8; ++block) {
    const std::string prefix = "block" + std::to_string(block) + ".";
    const std::int64_t c = channels[block];
    next(prefix + "conv1.weight", {c, 1, 3, channels[block - 1]});
    next(prefix + "conv1.bias", {c});
    next(prefix + "norm1.weight", {bands[block - 1], frames[block], c});
    next(prefix + "norm1.bias", {bands[block - 1], frames[block], c});
    next(prefix + "conv2.weight", {c, 3, 1, c});
    next(prefix + "conv2.bias", {c});
    next(prefix + "norm2.weight", {bands[block], frames[block], c});
    next(prefix + "norm2.bias", {bands[block], frames[block], c});
  }
  next("head.hidden.weight", {8, 4, 2});
  next("head.hidden.bias", {8, 4});
  next("head.output.weight", {8, 1, 4});
  next("head.output.bias", {8, 1});
}

TEST(NafpEncoder, StartsAsItsAuthorsDoes) {
  EncoderOptions options = tiny_nafp_options();
  options.width = 16;
  const auto encoder = make_encoder(options);
  for (const NamedParameter& p : encoder->parameters()) {
    const auto values = p.variable.value().values<float>();
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    if (p.name.ends_with(".bias")) {
      EXPECT_TRUE(*low == 0 && *high == 0) << p.name;
    } else if (p.name.find("norm") != std::string::npos) {
      EXPECT_TRUE(*low == 1 && *high == 1) << p.name;
    } else if (p.name == "block8.conv2.weight") {
      const float bound = std::sqrt(6.0F / (3 * 128 + 3 * 128));
      EXPECT_TRUE(*low >= -bound && *high <= bound) << p.name;
      EXPECT_NEAR(*high, bound, 0.01 * bound) << p.name;
    }
  }
}

TEST(NafpEncoder, EmbedIsForward) {
  const auto encoder = make_encoder(tiny_nafp_options(), 11);
  const Tensor x = random_segments(9, tiny_nafp_options());
  const Tensor recorded = encoder->forward(Variable(x)).value();
  EXPECT_LT(largest_difference(encoder->embed(x), recorded), 2e-6);
  for (std::int64_t row = 0; row < 9; ++row) {
    double square = 0;
    for (std::int64_t i = 0; i < 8; ++i) {
      square += std::pow(static_cast<double>(recorded.data<float>()[row * 8 + i]), 2);
    }
    EXPECT_NEAR(square, 1, 1e-5);
  }
}

TEST(NafpEncoder, EmbedFollowsTheWeights) {
  const auto encoder = make_encoder(tiny_nafp_options(), 11);
  const Tensor x = random_segments(2, tiny_nafp_options());
  const Tensor before = encoder->embed(x);
  EXPECT_TRUE(same_bits(before, encoder->embed(x)));
  const Tensor& weight = encoder->parameters().at(4).variable.value();
  kernels::scale(weight, -0.7, weight);
  encoder->weights_changed();
  const Tensor after = encoder->embed(x);
  EXPECT_GT(largest_difference(before, after), 1e-3);
  EXPECT_LT(largest_difference(after, encoder->forward(Variable(x)).value()), 2e-6);
}

TEST(NafpEncoder, EmbedIsTheSameForAnyBatchAndThreadCount) {
  const auto encoder = make_encoder(tiny_nafp_options(), 11);
  const Tensor x = random_segments(13, tiny_nafp_options());
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor alone = encoder->embed(x);
  set_num_threads(2);
  const Tensor together = encoder->embed(x);
  set_num_threads(threads);
  EXPECT_TRUE(same_bits(alone, together));
  EXPECT_LT(largest_difference(encoder->embed(x.slice(3, 4)), alone.slice(3, 4)), 1e-6);
  EXPECT_EQ(encoder->embed(x.slice(0, 0)).shape(), (Shape{0, 8}));
}

TEST(NafpEncoder, RefusesOtherShapesAndTypes) {
  const auto encoder = make_encoder(tiny_nafp_options());
  EXPECT_THROW(encoder->forward(Variable(Tensor({1, 37, 22, 1}))), Error);
  EXPECT_THROW(encoder->embed(Tensor({1, 37, 21, 1}, DType::f64)), Error);
}

TEST(NafpEncoder, InBf16GivesNearlyTheSameFingerprintsAndFp32Gradients) {
  const auto encoder = make_encoder(tiny_nafp_options(), 3);
  const Tensor x = random_segments(6, tiny_nafp_options());
  const Tensor want = encoder->forward(Variable(x)).value();
  encoder->set_activation_type(DType::bf16);
  const Variable y = encoder->forward(Variable(x));
  const double error = largest_difference(y.value(), want);
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.1);
  nt_xent(y, 0.1).loss.backward();
  for (const NamedParameter& p : encoder->parameters()) {
    ASSERT_TRUE(p.variable.grad()) << p.name;
    EXPECT_EQ(p.variable.grad().dtype(), DType::f32) << p.name;
  }
}

class WholeNafpEncoder : public ::testing::Test {
 protected:
  Variable loss() const { return nt_xent(encoder_->forward(Variable(x_)), 0.2).loss; }
  double slope(double& parameter, double step) const {
    const NoGradScope inference;
    const double here = parameter;
    parameter = here + step;
    const double above = loss().value().item();
    parameter = here - step;
    const double below = loss().value().item();
    parameter = here;
    return (above - below) / (2 * step);
  }

  std::shared_ptr<Encoder> encoder_ = make_encoder(tiny_nafp_options(), 5, DType::f64);
  Tensor x_ = random_segments(6, tiny_nafp_options(), DType::f64);
};

TEST_F(WholeNafpEncoder, GradientMatchesCentralDifferences) {
  loss().backward();
  for (const NamedParameter& p : encoder_->parameters()) {
    const Tensor& value = p.variable.value();
    ASSERT_TRUE(p.variable.grad()) << p.name;
    for (const std::int64_t i : {std::int64_t{0}, value.numel() / 2, value.numel() - 1}) {
      const double want = slope(value.mutable_data<double>()[i], 1e-6);
      EXPECT_NEAR(p.variable.grad().data<double>()[i], want, 2e-6 * (1 + std::abs(want))) << p.name << " element " << i;
    }
  }
}

TEST(NafpModel, SurvivesAFile) {
  const testing::TemporaryFolder folder;
  FeatureOptions features;
  features.mel_bands = 37;
  features.frames = 21;
  const Model model = make_model(features, tiny_nafp_options(), 9);
  save_model(folder / "model.safetensors", model);
  const Model read = load_model(folder / "model.safetensors");
  EXPECT_EQ(read.options, model.options);
  EXPECT_EQ(model_hash(read), model_hash(model));
  const Tensor x = random_segments(3, tiny_nafp_options());
  EXPECT_TRUE(same_bits(read.encoder->embed(x), model.encoder->embed(x)));
  EXPECT_NE(model_hash(make_model(features, tiny_nafp_options(), 10)), model_hash(model));
}

}  // namespace
}  // namespace earmark::nn
