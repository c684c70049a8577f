#include "kernels/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

AdamParameter parameter(const Shape& shape, DType dtype, std::uint64_t seed) {
  return {draw(shape, Domain::normal, dtype, seed, 1), draw(shape, Domain::normal, dtype, seed, 2),
          Tensor::zeros(shape, dtype), Tensor::zeros(shape, dtype)};
}

TEST(Adam, FirstStepMovesByTheLearningRate) {
  // With m^ = g and v^ = g^2, the step is learning_rate * sign(g), whatever the gradient's size.
  for (const double g : {1e-4, 1.0, 1e4}) {
    const AdamParameter p{Tensor::full({3}, 1, DType::f64), Tensor::full({3}, g, DType::f64),
                          Tensor::zeros({3}, DType::f64), Tensor::zeros({3}, DType::f64)};
    adam_step(std::span(&p, 1), {.learning_rate = 0.01});
    EXPECT_NEAR(p.value.data<double>()[2], 0.99, 1e-5);
  }
}

TEST(Adam, MatchesTheAlgorithmOverSteps) {
  const AdamParameter p = parameter({5}, DType::f64, 1);
  double value = p.value.data<double>()[3];
  double m = 0;
  double v = 0;
  for (int step = 1; step <= 5; ++step) {
    const double g = 0.3 * step - 1;
    p.grad.fill(g);
    adam_step(std::span(&p, 1), {.step = step, .learning_rate = 0.1, .weight_decay = 0.2, .gradient_scale = 0.5});
    m = 0.9 * m + 0.1 * (g / 2);
    v = 0.999 * v + 0.001 * (g / 2) * (g / 2);
    value -= 0.1 * 0.2 * value;
    value -= 0.1 * (m / (1 - std::pow(0.9, step))) / (std::sqrt(v / (1 - std::pow(0.999, step))) + 1e-8);
    EXPECT_NEAR(p.value.data<double>()[3], value, 1e-12);
  }
}

/// What a step reads from a schedule are the bits that it would work out from its options.
TEST(Adam, AScheduleSaysStepAndLearningRate) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const AdamParameter told = parameter({70}, dtype, 1);
    const AdamParameter shown = parameter({70}, dtype, 1);
    const Tensor schedule({3}, DType::f64);
    for (int step = 1; step <= 4; ++step) {
      const AdamOptions options{.step = step, .learning_rate = 0.1 / step, .beta2 = 0.99, .weight_decay = 0.2};
      adam_step(std::span(&told, 1), options);
      set_schedule(options, schedule);
      adam_step(std::span(&shown, 1), {.beta2 = 0.99, .weight_decay = 0.2, .schedule = schedule});
      EXPECT_TRUE(std::equal(told.value.raw(), told.value.raw() + told.value.bytes(), shown.value.raw())) << step;
    }
  }
  const AdamParameter p = parameter({3}, DType::f32, 1);
  EXPECT_THROW(adam_step(std::span(&p, 1), {.schedule = Tensor({2}, DType::f64)}), Error);
  EXPECT_THROW(set_schedule({}, Tensor({3})), Error);
}

TEST(Adam, LeavesParametersWithoutGradientAlone) {
  std::vector<AdamParameter> both{parameter({3}, DType::f32, 1), parameter({4}, DType::f32, 2)};
  both[0].grad = {};
  const Tensor before = both[0].value.clone();
  const float other = both[1].value.data<float>()[0];
  adam_step(both, {.weight_decay = 0.5});
  EXPECT_EQ(both[0].value.data<float>()[2], before.data<float>()[2]);
  EXPECT_NE(both[1].value.data<float>()[0], other);
  adam_step({}, {});
}

TEST(Adam, GivesTheSameBitsForAnyThreadCount) {
  const int threads = num_threads();
  std::vector<std::vector<float>> results;
  for (const int count : {1, 2, 3}) {
    set_num_threads(count);
    const std::vector<AdamParameter> several{parameter({40000}, DType::f32, 1), parameter({3, 5}, DType::f32, 2)};
    std::vector<Tensor> gradients{several[0].grad, Tensor(), several[1].grad};
    const double norm = clip_grad_norm(gradients, 1);
    for (int step = 1; step <= 3; ++step) {
      adam_step(several, {.step = step});
    }
    const auto values = several[0].value.values<float>();
    results.emplace_back(values.begin(), values.end());
    results.back().push_back(static_cast<float>(norm));
    results.back().push_back(several[1].value.data<float>()[14]);
  }
  set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Adam, AGateClipsAndClosesForGood) {
  AdamParameter gated = parameter({300}, DType::f32, 1);
  AdamParameter scaled = parameter({300}, DType::f32, 1);
  const std::vector<Tensor> gradients{gated.grad};
  const double norm = grad_norm(gradients);
  const Tensor gate = open_gate({});
  const auto update = [&](double loss) { update_gate({gradients, Tensor::full({}, loss), 0.5, gate}); };
  update(1);
  EXPECT_EQ(gate.data<double>()[0], norm);
  EXPECT_EQ(gate.data<double>()[1], clip_factor(norm, 0.5));
  adam_step(std::span(&gated, 1), {.gate = gate});
  adam_step(std::span(&scaled, 1), {.gradient_scale = clip_factor(norm, 0.5)});
  EXPECT_TRUE(std::ranges::equal(gated.value.values<float>(), scaled.value.values<float>()));
  for (const double loss : {std::numeric_limits<double>::quiet_NaN(), 1.0}) {
    update(loss);
    EXPECT_TRUE(std::isnan(gate.data<double>()[1]));
    adam_step(std::span(&gated, 1), {.step = 2, .gate = gate});
    EXPECT_TRUE(std::ranges::equal(gated.value.values<float>(), scaled.value.values<float>()));
  }
  EXPECT_THROW(update_gate({gradients, Tensor::full({}, 1), 0.5, Tensor({3}, DType::f64)}), Error);
  EXPECT_THROW(adam_step(std::span(&gated, 1), {.gate = Tensor({1}, DType::f64)}), Error);
}

TEST(Adam, RefusesMomentsThatDoNotFit) {
  AdamParameter p = parameter({3}, DType::f32, 1);
  p.moment2 = Tensor({4});
  EXPECT_THROW(adam_step(std::span(&p, 1), {}), Error);
  p = parameter({3}, DType::f32, 1);
  p.grad = Tensor({3}, DType::f64);
  EXPECT_THROW(adam_step(std::span(&p, 1), {}), Error);
  p = parameter({3}, DType::f32, 1);
  EXPECT_THROW(adam_step(std::span(&p, 1), {.step = 0}), Error);
  EXPECT_THROW(adam_step(std::span(&p, 1), {.beta1 = 1}), Error);
}

TEST(GradNorm, IsOverAllTensorsAndSkipsEmptyOnes) {
  const std::vector<Tensor> gradients{Tensor::full({4}, 1), Tensor(), Tensor::full({3, 4}, 1, DType::f64)};
  EXPECT_NEAR(grad_norm(gradients), 4, 1e-12);
  EXPECT_EQ(grad_norm({}), 0);
  EXPECT_EQ(grad_norm(std::vector<Tensor>(2)), 0);
}

TEST(GradNorm, NeitherOverflowsNorForgets) {
  const std::vector<Tensor> huge{Tensor::full({100}, 1e30)};
  EXPECT_NEAR(grad_norm(huge) / 1e31, 1, 1e-6);
  const std::vector<Tensor> many{Tensor::full({1 << 20}, 1e-3)};
  EXPECT_NEAR(grad_norm(many), 1.024, 1e-6);
}

TEST(ClipGradNorm, ScalesOnlyWhatIsTooLong) {
  const std::vector<Tensor> gradients{Tensor::full({4}, 3), Tensor(), Tensor::full({5}, 4)};
  const double norm = std::sqrt(4 * 9 + 5 * 16);
  EXPECT_NEAR(clip_grad_norm(gradients, 100), norm, 1e-6);
  EXPECT_EQ(gradients[0].data<float>()[0], 3);
  EXPECT_NEAR(clip_grad_norm(gradients, 2), norm, 1e-6);
  EXPECT_NEAR(grad_norm(gradients), 2, 1e-5);
  EXPECT_THROW(clip_grad_norm(gradients, 0), Error);
}

TEST(ClipGradNorm, NaNIsReportedAndSpreads) {
  const std::vector<Tensor> gradients{Tensor::full({40}, 3), Tensor::full({1}, std::nan(""))};
  EXPECT_TRUE(std::isnan(clip_grad_norm(gradients, 1)));
  EXPECT_TRUE(std::isnan(gradients[0].data<float>()[0])) << "one bad gradient must not leave the others usable";
}

}  // namespace
}  // namespace earmark::kernels
