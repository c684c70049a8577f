#include "kernels/lamb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

AdamParameter layer(const Shape& shape, DType dtype, std::uint64_t seed) {
  return {draw(shape, Domain::normal, dtype, seed, 1), draw(shape, Domain::normal, dtype, seed, 2),
          Tensor::zeros(shape, dtype), Tensor::zeros(shape, dtype)};
}

/// The algorithm as the header has it, on one layer, in double.
class PlainLamb {
 public:
  explicit PlainLamb(const Tensor& value)
      : value_(value.values<double>().begin(), value.values<double>().end()), m_(value_.size()), v_(value_.size()) {}

  void step(const Tensor& grad, const AdamOptions& o) {
    std::vector<double> u(value_.size());
    double value_squares = 0;
    double update_squares = 0;
    for (std::size_t i = 0; i < value_.size(); ++i) {
      const double g = grad.values<double>()[i] * o.gradient_scale;
      m_[i] = o.beta1 * m_[i] + (1 - o.beta1) * g;
      v_[i] = o.beta2 * v_[i] + (1 - o.beta2) * g * g;
      const double mean = m_[i] / (1 - std::pow(o.beta1, static_cast<double>(o.step)));
      const double square = v_[i] / (1 - std::pow(o.beta2, static_cast<double>(o.step)));
      u[i] = mean / (std::sqrt(square) + o.epsilon) + o.weight_decay * value_[i];
      value_squares += value_[i] * value_[i];
      update_squares += u[i] * u[i];
    }
    const double ratio = value_squares > 0 && update_squares > 0 ? std::sqrt(value_squares / update_squares) : 1;
    for (std::size_t i = 0; i < value_.size(); ++i) {
      value_[i] -= o.learning_rate * ratio * u[i];
    }
  }
  double distance(const Tensor& value) const {
    const Tensor exact = value.to(DType::f64);
    double worst = 0;
    for (std::size_t i = 0; i < value_.size(); ++i) {
      worst = std::max(worst, std::abs(exact.values<double>()[i] - value_[i]));
    }
    return worst;
  }

 private:
  std::vector<double> value_, m_, v_;
};

TEST(Lamb, MatchesTheAlgorithmOverSteps) {
  for (const Shape& shape : {Shape{1}, Shape{5}, Shape{33, 7}, Shape{40, 1000}}) {
    const AdamParameter twice = layer(shape, DType::f64, 1);
    const AdamParameter once{twice.value.to(DType::f32), {}, Tensor::zeros(shape), Tensor::zeros(shape)};
    PlainLamb plain(twice.value);
    for (int step = 1; step <= 5; ++step) {
      const AdamOptions options{.step = step,
                                .learning_rate = 0.1 / step,
                                .beta2 = 0.99,
                                .epsilon = 1e-6,
                                .weight_decay = 0.2,
                                .gradient_scale = 0.5};
      AdamParameter wide = twice;
      wide.grad = draw(shape, Domain::normal, DType::f64, 7, static_cast<std::uint64_t>(step));
      AdamParameter narrow = once;
      narrow.grad = wide.grad.to(DType::f32);
      lamb_step(std::span(&wide, 1), options);
      lamb_step(std::span(&narrow, 1), options);
      plain.step(wide.grad, options);
      EXPECT_LT(plain.distance(twice.value), 1e-12) << shape << " step " << step;
      EXPECT_LT(plain.distance(once.value), 2e-5) << shape << " step " << step;
    }
  }
}

TEST(Lamb, AStepIsAsLongAsItsLayerAsksFor) {
  // Whatever the gradients' size: the learning rate times the layer's own length.
  for (const double g : {1e-4, 1.0, 1e4}) {
    const std::vector<AdamParameter> layers{layer({300}, DType::f64, 1), layer({20}, DType::f64, 2)};
    scale(layers[1].value, 100, layers[1].value);
    std::vector<Tensor> before;
    for (const AdamParameter& p : layers) {
      scale(p.grad, g, p.grad);
      before.push_back(p.value.clone());
    }
    lamb_step(layers, {.learning_rate = 0.01, .epsilon = 1e-12});
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Tensor moved = empty_like(before[i]);
      sub(layers[i].value, before[i], moved);
      EXPECT_NEAR(grad_norm(std::span(&moved, 1)) / grad_norm(std::span(&before[i], 1)), 0.01, 1e-6);
    }
  }
}

TEST(Lamb, WhereNothingIsToCompareTheStepIsAdams) {
  const AdamParameter p{Tensor::zeros({3}, DType::f64), Tensor::full({3}, 5, DType::f64),
                        Tensor::zeros({3}, DType::f64), Tensor::zeros({3}, DType::f64)};
  lamb_step(std::span(&p, 1), {.learning_rate = 0.01});
  EXPECT_NEAR(p.value.data<double>()[2], -0.01, 1e-9) << "values of zero";
  const AdamParameter still{Tensor::full({3}, 2, DType::f64), Tensor::zeros({3}, DType::f64),
                            Tensor::zeros({3}, DType::f64), Tensor::zeros({3}, DType::f64)};
  lamb_step(std::span(&still, 1), {.learning_rate = 0.01});
  EXPECT_EQ(still.value.data<double>()[0], 2) << "updates of zero";
}

/// What a step reads from a schedule are the bits that it would work out from its options.
TEST(Lamb, AScheduleSaysStepAndLearningRate) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const AdamParameter told = layer({70}, dtype, 1);
    const AdamParameter shown = layer({70}, dtype, 1);
    const Tensor schedule({3}, DType::f64);
    for (int step = 1; step <= 4; ++step) {
      const AdamOptions options{.step = step, .learning_rate = 0.1 / step, .beta2 = 0.99, .weight_decay = 0.2};
      lamb_step(std::span(&told, 1), options);
      set_lamb_schedule(options, schedule);
      lamb_step(std::span(&shown, 1), {.beta2 = 0.99, .weight_decay = 0.2, .schedule = schedule});
      EXPECT_TRUE(std::equal(told.value.raw(), told.value.raw() + told.value.bytes(), shown.value.raw())) << step;
    }
  }
  EXPECT_THROW(set_lamb_schedule({}, Tensor({3})), Error);
}

TEST(Lamb, GivesTheSameBitsForAnyThreadCount) {
  const int threads = num_threads();
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    set_num_threads(count);
    const std::vector<AdamParameter> several{layer({40000}, DType::f32, 1), layer({3, 5}, DType::f32, 2)};
    for (int step = 1; step <= 3; ++step) {
      lamb_step(several, {.step = step, .learning_rate = 0.1});
    }
    const auto values = several[0].value.values<float>();
    results.emplace_back(values.begin(), values.end());
    results.back().push_back(several[1].value.data<float>()[14]);
  }
  set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Lamb, LeavesAloneWhatHasNoGradientAndMovesNothingBehindAClosedGate) {
  std::vector<AdamParameter> both{layer({3}, DType::f32, 1), layer({4}, DType::f32, 2)};
  both[0].grad = {};
  const Tensor first = both[0].value.clone();
  const Tensor second = both[1].value.clone();
  const Tensor closed = Tensor::full({2}, std::numeric_limits<double>::quiet_NaN(), DType::f64);
  lamb_step(both, {.weight_decay = 0.5, .gate = closed});
  EXPECT_TRUE(std::ranges::equal(both[1].value.values<float>(), second.values<float>()));
  EXPECT_EQ(both[1].moment2.data<float>()[0], 0);
  lamb_step(both, {.weight_decay = 0.5});
  EXPECT_TRUE(std::ranges::equal(both[0].value.values<float>(), first.values<float>()));
  EXPECT_FALSE(std::ranges::equal(both[1].value.values<float>(), second.values<float>()));
  lamb_step({}, {});
}

TEST(Lamb, AGateScalesTheGradient) {
  const AdamParameter gated = layer({30}, DType::f32, 1);
  const AdamParameter scaled = layer({30}, DType::f32, 1);
  const Tensor gate = Tensor::full({2}, 0.25, DType::f64);
  lamb_step(std::span(&gated, 1), {.gate = gate});
  lamb_step(std::span(&scaled, 1), {.gradient_scale = 0.25});
  EXPECT_TRUE(std::ranges::equal(gated.moment2.values<float>(), scaled.moment2.values<float>()));
  EXPECT_TRUE(std::ranges::equal(gated.value.values<float>(), scaled.value.values<float>()));
}

TEST(Lamb, RefusesWhatDoesNotFit) {
  AdamParameter p = layer({3}, DType::f32, 1);
  p.moment2 = Tensor({4});
  EXPECT_THROW(lamb_step(std::span(&p, 1), {}), Error);
  p = layer({3}, DType::f32, 1);
  EXPECT_THROW(lamb_step(std::span(&p, 1), {.step = 0}), Error);
  EXPECT_THROW(lamb_step(std::span(&p, 1), {.schedule = Tensor({2}, DType::f64)}), Error);
}

}  // namespace
}  // namespace earmark::kernels
