#include "nn/encoder_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/test_support.h"

namespace earmark::nn {
namespace {

using ::testing::HasSubstr;

std::string options_error(const std::string& json) {
  return testing::error_of([&] { encoder_options_from_json(json); });
}

TEST(EncoderOptions, SurviveTheWayThroughJson) {
  EncoderOptions options;
  options.width = 8;
  options.attention = Attention::once;
  options.attention_logits = AttentionLogits::plain;
  options.attention_scale = AttentionScale::area;
  options.attention_init = AttentionInit::zero;
  options.attention_deviation = 0.05;
  options.convolution_init = ConvolutionInit::kaiming;
  options.embedding = 64;
  options.head_hidden = 16;
  EXPECT_EQ(encoder_options_from_json(to_json(options)), options);
  EXPECT_NE(encoder_options_from_json(to_json(options)), EncoderOptions{});
}

TEST(EncoderOptions, AnEncoderWithoutAttentionHasNoOptionsOfIt) {
  EncoderOptions options = default_encoder_options("nafp");
  options.bands = 256;
  options.frames = 32;
  EXPECT_EQ(encoder_options_from_json(to_json(options)), options);
  EXPECT_EQ(to_json(options),
            R"({"type":"nafp","width":128,"bands":256,"frames":32,"embedding":128,"head_hidden":32})");
  EXPECT_THAT(options_error(R"({"type": "nafp", "attention": "once"})"), HasSubstr("attention"));
  EXPECT_THAT(options_error(R"({"type": "nafp", "width": 9})"), HasSubstr("8 x width 9 x 1 x 2"));
}

TEST(EncoderOptions, WhatModelFilesSayOfAttentionHasNotChanged) {
  // Hashes of models, and so the indexes that hold them, hang on it.
  EXPECT_EQ(to_json(EncoderOptions{}),
            R"({"type":"attention","width":32,"bands":64,"frames":96,"attention":"twice","attention_logits":"tanh",)"
            R"("attention_scale":"hundred","attention_init":"normal","attention_deviation":1.0,)"
            R"("convolution_init":"pytorch","embedding":128,"head_hidden":32})");
}

TEST(EncoderOptions, AbsentKeysKeepTheirDefaults) { EXPECT_EQ(encoder_options_from_json("{}"), EncoderOptions{}); }

TEST(EncoderOptions, ErrorsNameTheKey) {
  EXPECT_THAT(options_error(R"({"widht": 8})"), HasSubstr("widht"));
  EXPECT_THAT(options_error(R"({"width": "8"})"), HasSubstr("width"));
  EXPECT_THAT(options_error(R"({"width": 8.5})"), HasSubstr("width"));
  EXPECT_THAT(options_error(R"({"width": 99999999999})"), HasSubstr("width"));
  EXPECT_THAT(options_error(R"({"width": 0})"), HasSubstr("width"));
  EXPECT_THAT(options_error(R"({"attention": "thrice"})"), HasSubstr("attention"));
  EXPECT_THAT(options_error(R"({"embedding": 100})"), HasSubstr("6144"));
  EXPECT_THAT(options_error("[1]"), HasSubstr("JSON object"));
  EXPECT_THAT(options_error("{"), HasSubstr("JSON object"));
}

TEST(EncoderOptions, FlattenedSizeIsThePapers) { EXPECT_EQ(flattened_size({}), 6144); }

}  // namespace
}  // namespace earmark::nn
