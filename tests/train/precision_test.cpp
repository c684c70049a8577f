// Training in fp32, tf32 and bf16 on the CPU.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "kernels/conv.h"
#include "nn/model.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

class PrecisionOfTraining : public ::testing::Test {
 protected:
  /// Trains in `folder_ / name` up to `steps`; returns the losses of all steps.
  std::vector<double> train(const std::string& name, Precision precision, std::int64_t steps) {
    TrainOptions options = tiny_options();
    options.precision = precision;
    options.steps = steps;
    options.optimizer.schedule = Schedule::constant;
    options.validation.interval = 0;
    return train_in(folder_ / name, options, Device{});
  }
  std::string bytes_of(const std::string& file) const {
    std::ifstream in(folder_ / file, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    EXPECT_FALSE(text.str().empty()) << file;
    return text.str();
  }

  earmark::testing::TemporaryFolder folder_;
};

/// The mean loss of the last 100 of 200 steps.
double late_loss(std::uint64_t seed, DType activations) {
  constexpr int kSteps = 200;
  TrainOptions options = tiny_options();
  options.encoder.width = 4;
  options.pairs.pairs = 24;
  options.pairs.seed = seed;
  const TrainingData data = tiny_data(options);
  Trainer trainer(nn::make_model(options.features, options.encoder, seed), options.optimizer, 0.2);
  trainer.model().encoder->set_activation_type(activations);
  double sum = 0;
  double first = 0;
  for (int step = 0; step < kSteps; ++step) {
    const double loss = trainer.step(data.training->batch(step), 1e-4).loss;
    first = step == 0 ? loss : first;
    sum += step < kSteps / 2 ? 0 : loss;
  }
  const double late = sum / (kSteps / 2);
  EXPECT_LT(late, 0.9 * first) << "nothing was learnt that could be compared";
  return late;
}

/// Any two roundings lead training apart, however small they are, the sooner the larger: single runs of so small a
/// network differ by a percent in either direction. A percent of their mean is more than that.
TEST(TrainingInBf16Whole, LosesAsMuchAsInFp32WithinAPercent) {
  double fp32 = 0;
  double bf16 = 0;
  for (const std::uint64_t seed : {1, 2, 3}) {
    fp32 += late_loss(seed, DType::f32);
    bf16 += late_loss(seed, DType::bf16);
  }
  EXPECT_NE(bf16, fp32);
  EXPECT_NEAR(bf16 / fp32, 1, 0.01) << fp32 / 3 << " and " << bf16 / 3;
}

TEST_F(PrecisionOfTraining, Tf32IsFp32OnTheCpuAndLeavesNothingSwitchedOn) {
  EXPECT_EQ(train("tf32", Precision::tf32, 3), train("fp32", Precision::fp32, 3));
  EXPECT_FALSE(kernels::tf32_allowed());
}

TEST_F(PrecisionOfTraining, Bf16ProductsAreForProcessorsThatHaveThemAndLeaveNothingSwitchedOn) {
  const std::vector<double> fp32 = train("fp32", Precision::fp32, 4);
  const std::vector<double> products = train("products", Precision::bf16_products, 4);
  EXPECT_FALSE(kernels::bf16_products_allowed());
  if (!kernels::has_bf16_products()) {
    EXPECT_EQ(products, fp32);
    return;
  }
  EXPECT_NE(products, fp32);
  EXPECT_NEAR(products[0], fp32[0], 0.02 * fp32[0]);
}

TEST_F(PrecisionOfTraining, CheckpointsAreFp32AndResumeBitForBit) {
  const std::vector<double> straight = train("straight", Precision::bf16, 5);
  train("parts", Precision::bf16, 2);
  EXPECT_EQ(train("parts", Precision::bf16, 5), straight);
  EXPECT_EQ(bytes_of("parts/model.safetensors"), bytes_of("straight/model.safetensors"));
  const nn::Model model = nn::load_model(folder_ / "straight" / "model.safetensors");
  for (const nn::NamedParameter& parameter : model.encoder->parameters()) {
    EXPECT_EQ(parameter.variable.value().dtype(), DType::f32) << parameter.name;
  }
}

TEST_F(PrecisionOfTraining, ThePrecisionMayChangeBetweenCheckpoints) {
  train("run", Precision::bf16, 2);
  const std::vector<double> losses = train("run", Precision::fp32, 4);
  ASSERT_EQ(losses.size(), 4U);
  EXPECT_TRUE(std::isfinite(losses.back()));
}

}  // namespace
}  // namespace earmark::train
