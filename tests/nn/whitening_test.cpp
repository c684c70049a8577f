// A whitening matrix behind the head: part of inference, of models and their hashes, not of training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/functions.h"
#include "kernels/error.h"
#include "nn/model.h"
#include "tests/compare_tensors.h"
#include "tests/nn/tiny_encoders.h"
#include "tests/test_support.h"

namespace earmark::nn {
namespace {

using earmark::testing::error_of;
using earmark::testing::largest_difference;
using earmark::testing::same_bits;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<Encoder> encoder_of(EncoderOptions options, bool whitening) {
  options.whitening = whitening;
  return make_encoder(options, 11);
}

Tensor random_matrix(std::int64_t extent) {
  return testing::draw({extent, extent}, testing::Domain::normal, DType::f64, 5);
}

/// Each row of x multiplied with `matrix` and scaled to length 1, in double.
Tensor multiplied(const Tensor& rows, const Tensor& matrix) {
  const std::int64_t d = rows.dim(1);
  Tensor out(rows.shape());
  for (std::int64_t n = 0; n < rows.dim(0); ++n) {
    std::vector<double> row(static_cast<std::size_t>(d));
    double length = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      for (std::int64_t k = 0; k < d; ++k) {
        row[static_cast<std::size_t>(i)] += matrix.data<double>()[i * d + k] * rows.data<float>()[n * d + k];
      }
      length += row[static_cast<std::size_t>(i)] * row[static_cast<std::size_t>(i)];
    }
    for (std::int64_t i = 0; i < d; ++i) {
      out.mutable_data<float>()[n * d + i] = static_cast<float>(row[static_cast<std::size_t>(i)] / std::sqrt(length));
    }
  }
  return out;
}

class Whitening : public ::testing::TestWithParam<EncoderOptions> {};

TEST_P(Whitening, MultipliesWhatInferenceFinds) {
  const Tensor x = random_segments(5, GetParam());
  const Tensor plain = encoder_of(GetParam(), false)->embed(x);
  const auto encoder = encoder_of(GetParam(), true);
  EXPECT_TRUE(same_bits(encoder->embed(x), plain)) << "the identity at first";
  const Tensor matrix = random_matrix(GetParam().embedding);
  encoder->set_whitening(matrix);
  EXPECT_LT(largest_difference(encoder->embed(x), multiplied(plain, matrix)), 1e-5);
  encoder->set_training(false);
  EXPECT_LT(largest_difference(encoder->forward(Variable(x)).value(), encoder->embed(x)), 2e-5);
}

TEST_P(Whitening, IsNoPartOfTraining) {
  const Tensor x = random_segments(5, GetParam());
  const auto plain = encoder_of(GetParam(), false);
  const auto encoder = encoder_of(GetParam(), true);
  encoder->set_whitening(random_matrix(GetParam().embedding));
  EXPECT_EQ(encoder->parameters().size(), plain->parameters().size());
  EXPECT_TRUE(same_bits(encoder->forward(Variable(x)).value(), plain->forward(Variable(x)).value()));
}

TEST_P(Whitening, IsRefusedWhereItDoesNotFit) {
  EXPECT_FALSE(encoder_of(GetParam(), false)->whitening());
  EXPECT_THAT(error_of([] { encoder_of(GetParam(), false)->set_whitening(random_matrix(8)); }),
              HasSubstr("without whitening"));
  EXPECT_THAT(error_of([] { encoder_of(GetParam(), true)->set_whitening(random_matrix(7)); }), HasSubstr("(8, 8)"));
}

TEST_P(Whitening, GoesWithTheModelAndItsHash) {
  FeatureOptions features;
  features.mel_bands = GetParam().bands;
  features.frames = GetParam().frames;
  const Model plain = make_model(features, GetParam());
  const Model model = with_whitening(plain, true);
  EXPECT_TRUE(model.options.whitening);
  EXPECT_NE(model_hash(model), model_hash(plain));
  const std::string before = model_hash(model);
  model.encoder->set_whitening(random_matrix(8));
  EXPECT_NE(model_hash(model), before);
  EXPECT_EQ(model_hash(with_whitening(model, true)), model_hash(model));
  EXPECT_EQ(model_hash(with_whitening(model, false)), model_hash(plain));
  const TemporaryFolder folder;
  save_model(folder / "m.safetensors", model);
  const Model back = load_model(folder / "m.safetensors");
  const Tensor x = random_segments(3, GetParam());
  EXPECT_TRUE(same_bits(back.encoder->embed(x), model.encoder->embed(x)));
}

INSTANTIATE_TEST_SUITE_P(Encoders, Whitening, ::testing::Values(tiny_options(), tiny_nafp_options()),
                         [](const auto& tested) { return tested.param.type; });

TEST(WhiteningOption, SurvivesTheWayThroughJsonAndOlderModelsHaveNone) {
  EncoderOptions options;
  options.whitening = true;
  EXPECT_EQ(encoder_options_from_json(to_json(options)), options);
  EXPECT_THAT(to_json(options), HasSubstr(R"("whitening":true)"));
  EXPECT_FALSE(encoder_options_from_json(R"({"width":32})").whitening);
}

}  // namespace
}  // namespace earmark::nn
