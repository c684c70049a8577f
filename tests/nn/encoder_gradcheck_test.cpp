// The derivative of a whole small encoder with its loss, in double, against central differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "autograd/functions.h"
#include "nn/encoder.h"
#include "tests/op_cases.h"

namespace earmark::nn {
namespace {

constexpr std::int64_t kViews = 6;

EncoderOptions small(Attention attention, AttentionLogits logits, AttentionScale scale) {
  EncoderOptions options;
  options.width = 2;
  options.bands = 9;
  options.frames = 14;
  options.attention = attention;
  options.attention_logits = logits;
  options.attention_scale = scale;
  options.attention_deviation = 0.3;
  options.embedding = 8;
  options.head_hidden = 3;
  return options;
}

using Options = std::tuple<Attention, AttentionLogits, AttentionScale, bool>;

class WholeEncoder : public ::testing::TestWithParam<Options> {
 protected:
  WholeEncoder() {
    const auto [attention, logits, scale, training] = GetParam();
    const EncoderOptions options = small(attention, logits, scale);
    encoder_ = make_encoder(options, 5, DType::f64);
    encoder_->set_training(training);
    x_ = testing::draw({kViews, options.bands, options.frames, 1}, testing::Domain::normal, DType::f64, 3);
  }
  Variable loss() const { return nt_xent(encoder_->forward(Variable(x_)), 0.2).loss; }
  double loss_at(double& parameter, double value) const {
    const NoGradScope inference;
    const double before = std::exchange(parameter, value);
    const double result = loss().value().item();
    parameter = before;
    return result;
  }
  double slope(double& parameter, double step) const {
    const double here = parameter;
    return (loss_at(parameter, here + step) - loss_at(parameter, here - step)) / (2 * step);
  }

  std::shared_ptr<Encoder> encoder_;
  Tensor x_;
};

TEST_P(WholeEncoder, GradientMatchesCentralDifferences) {
  loss().backward();
  int checked = 0;
  for (const NamedParameter& p : encoder_->parameters()) {
    const Tensor& value = p.variable.value();
    for (const std::int64_t i : {value.numel() / 2, value.numel() - 1}) {
      double& parameter = value.mutable_data<double>()[i];
      const double got = p.variable.grad() ? p.variable.grad().data<double>()[i] : 0;
      const double fine = slope(parameter, 1e-6);
      const double coarse = slope(parameter, 4e-6);
      if (std::abs(fine - coarse) > 1e-5 * (1 + std::abs(fine))) {
        continue;  // a ReLU switches within the step: there is no slope to compare with
      }
      ++checked;
      EXPECT_NEAR(got, fine, 2e-6 * (1 + std::abs(fine))) << p.name << " element " << i;
    }
  }
  EXPECT_GE(checked, static_cast<int>(encoder_->parameters().size()) * 5 / 3) << "too many elements were left out";
}

TEST_P(WholeEncoder, EveryParameterThatMattersGetsAGradient) {
  loss().backward();
  for (const NamedParameter& p : encoder_->parameters()) {
    const bool before_norm = p.name.find("conv") != std::string::npos && p.name.ends_with(".bias");
    const bool one_element = p.name.starts_with("block5.attention") || p.name.starts_with("block6.attention");
    if ((before_norm && encoder_->training()) || one_element) {
      continue;  // cancelled by the batch's mean; a softmax over one element is constant
    }
    ASSERT_TRUE(p.variable.grad()) << p.name;
    const auto values = p.variable.grad().values<double>();
    EXPECT_TRUE(std::any_of(values.begin(), values.end(), [](double g) { return g != 0; })) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, WholeEncoder,
    ::testing::Values(Options{Attention::twice, AttentionLogits::tanh, AttentionScale::area, true},
                      Options{Attention::twice, AttentionLogits::plain, AttentionScale::hundred, true},
                      Options{Attention::once, AttentionLogits::tanh, AttentionScale::hundred, true},
                      Options{Attention::none, AttentionLogits::tanh, AttentionScale::area, true},
                      Options{Attention::twice, AttentionLogits::tanh, AttentionScale::area, false}));

}  // namespace
}  // namespace earmark::nn
