// Training steps from a CUDA graph: bit for bit those that are queued piece by piece.
#include "train/recorded_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "tests/train/training_outcome.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

class GpuRecordedStep : public earmark::testing::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    options_.optimizer.clip_norm = 0.5;
    options_.optimizer.weight_decay = 0.1;
    if (!IsSkipped()) {
      const TrainingData data = tiny_data(options_);
      for (int step = 0; step < 3; ++step) {
        batches_.push_back(data.training->batch(step));
      }
    }
  }
  /// One step for each learning rate, on one batch after another.
  TrainingOutcome train(bool cuda_graph, const std::vector<double>& rates) {
    const nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
    model.encoder->to(kGpu);
    model.encoder->set_activation_type(activations_);
    Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = cuda_graph});
    std::vector<StepReport> reports;
    for (const double rate : rates) {
      reports.push_back(trainer.step(batches_[reports.size() % batches_.size()], rate));
    }
    return outcome_of(trainer, reports);
  }

  TrainOptions options_ = tiny_options();
  DType activations_ = DType::f32;
  std::vector<data::Batch> batches_;
};

TEST_F(GpuRecordedStep, LossesAndWeightsAreTheSameBits) {
  const std::vector<double> rates{1e-2, 3e-2, 5e-3, 2e-2, 1e-2};  // another one for each launch
  expect_same_bits(train(true, rates), train(false, rates));
}

TEST_F(GpuRecordedStep, SoTheyAreInBf16) {
  const std::vector<double> rates{1e-2, 3e-2, 5e-3, 2e-2};
  const TrainingOutcome single = train(true, rates);
  activations_ = DType::bf16;
  const TrainingOutcome rounded = train(true, rates);
  expect_same_bits(rounded, train(false, rates));
  EXPECT_NE(rounded.reports[0].loss, single.reports[0].loss) << "nothing was rounded";
}

TEST_F(GpuRecordedStep, SoTheyAreOfNafpsNetworkWithLamb) {
  options_.encoder.type = "nafp";
  options_.optimizer.kind = OptimizerKind::lamb;
  const std::vector<double> rates{1e-2, 3e-2, 5e-3, 2e-2};
  expect_same_bits(train(true, rates), train(false, rates));
}

TEST_F(GpuRecordedStep, ALaunchTakesTheLearningRateOfItsStep) {
  const TrainingOutcome three = train(true, {1e-2, 1e-2, 1e-2});
  const TrainingOutcome stopped = train(true, {1e-2, 1e-2, 1e-2, 0, 0});
  const TrainingOutcome moved = train(true, {1e-2, 1e-2, 1e-2, 0, 1e-2});
  expect_same_bits(stopped.parameters, three.parameters, "moved at a learning rate of 0:");
  EXPECT_FALSE(std::ranges::all_of(three.parameters, [&](const auto& at) {
    return earmark::testing::same_bits(moved.parameters.at(at.first), at.second);
  }));
}

TEST_F(GpuRecordedStep, ViewsOfAnotherShapeAreRecordedAnew) {
  const data::Batch whole = batches_[1];
  batches_[1].clean = whole.clean.slice(0, 4);
  batches_[1].distorted = whole.distorted.slice(0, 4);
  batches_ = {batches_[0], batches_[0], batches_[1], batches_[1], batches_[1], batches_[0]};
  const std::vector<double> rates(6, 1e-2);
  expect_same_bits(train(true, rates), train(false, rates));
}

TEST_F(GpuRecordedStep, FromABatchThatIsNoNumberOnNothingIsUpdated) {
  const std::vector<double> rates(5, 1e-2);
  batches_.push_back(batches_[0]);
  batches_[3].clean = batches_[3].clean.clone();
  batches_[3].clean.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  const TrainingOutcome got = train(true, rates);
  const TrainingOutcome three = train(true, {1e-2, 1e-2, 1e-2});
  EXPECT_FALSE(got.reports[3].finite());
  expect_same_bits(got.parameters, three.parameters, "moved by what is no number:");
}

TEST_F(GpuRecordedStep, GivesItsMemoryBack) {
  train(true, {1e-2});  // what is made once and kept
  const auto before = kernels::cuda::memory_use();
  train(true, {1e-2, 1e-2, 1e-2});
  EXPECT_EQ(kernels::cuda::memory_use().blocks, before.blocks);
  EXPECT_EQ(kernels::cuda::memory_use().bytes, before.bytes);
}

TEST_F(GpuRecordedStep, LaunchesTakeNoMemory) {
  nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
  model.encoder->to(kGpu);
  Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = true});
  data::Batch batch = batches_[0];
  batch.clean = batch.clean.to(kGpu);
  batch.distorted = batch.distorted.to(kGpu);
  trainer.step(batch, 1e-2);
  trainer.step(batch, 1e-2);
  const auto before = kernels::cuda::memory_use();
  trainer.step(batch, 1e-2);
  EXPECT_EQ(kernels::cuda::memory_use().allocations, before.allocations);
}

/// On the CPU the option means nothing.
TEST(RecordedStepOnTheCpu, StepsRunAsAlways) {
  const TrainOptions options = tiny_options();
  const data::Batch batch = tiny_data(options).training->batch(0);
  const auto loss = [&](bool cuda_graph) {
    Trainer trainer(nn::make_model(options.features, options.encoder, 1), options.optimizer, 0.1,
                    {.cuda_graph = cuda_graph});
    trainer.step(batch, 1e-2);
    return trainer.step(batch, 1e-2).loss;
  };
  EXPECT_EQ(loss(true), loss(false));
  EXPECT_THROW(RecordedStep step{Device{}}, Error);
}

}  // namespace
}  // namespace earmark::train
