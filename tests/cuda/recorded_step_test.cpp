// Training steps from a CUDA graph: bit for bit those that are queued piece by piece.
#include "train/recorded_step.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

struct Outcome {
  std::vector<StepReport> reports;
  std::vector<Tensor> weights;  // and buffers
};

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
  Outcome train(bool cuda_graph, const std::vector<double>& rates) {
    nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
    model.encoder->to(kGpu);
    model.encoder->set_activation_type(activations_);
    Outcome outcome;
    {
      Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = cuda_graph});
      std::size_t step = 0;
      for (const double rate : rates) {
        outcome.reports.push_back(trainer.step(batches_[step++ % batches_.size()], rate));
      }
    }
    for (const nn::NamedParameter& parameter : model.encoder->parameters()) {
      outcome.weights.push_back(parameter.variable.value().to(Device{}).clone());
    }
    return outcome;
  }
  static void expect_same_bits(const Outcome& got, const Outcome& want) {
    ASSERT_EQ(got.reports.size(), want.reports.size());
    for (std::size_t step = 0; step < want.reports.size(); ++step) {
      EXPECT_EQ(got.reports[step].loss, want.reports[step].loss) << "step " << step;
      EXPECT_EQ(got.reports[step].top1, want.reports[step].top1) << "step " << step;
      EXPECT_EQ(got.reports[step].grad_norm, want.reports[step].grad_norm) << "step " << step;
    }
    for (std::size_t i = 0; i < want.weights.size(); ++i) {
      EXPECT_EQ(std::memcmp(got.weights[i].raw(), want.weights[i].raw(), want.weights[i].bytes()), 0) << i;
    }
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
  const Outcome single = train(true, rates);
  activations_ = DType::bf16;
  const Outcome rounded = train(true, rates);
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
  const Outcome three = train(true, {1e-2, 1e-2, 1e-2});
  const Outcome stopped = train(true, {1e-2, 1e-2, 1e-2, 0, 0});
  const Outcome moved = train(true, {1e-2, 1e-2, 1e-2, 0, 1e-2});
  bool differs = false;
  for (std::size_t i = 0; i < three.weights.size(); ++i) {
    const Tensor& at = three.weights[i];
    EXPECT_EQ(std::memcmp(stopped.weights[i].raw(), at.raw(), at.bytes()), 0) << "moved at a learning rate of 0: " << i;
    differs |= std::memcmp(moved.weights[i].raw(), at.raw(), at.bytes()) != 0;
  }
  EXPECT_TRUE(differs);
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
  const Outcome got = train(true, rates);
  const Outcome three = train(true, {1e-2, 1e-2, 1e-2});
  EXPECT_FALSE(got.reports[3].finite());
  for (std::size_t i = 0; i < three.weights.size(); ++i) {
    if (three.weights[i].dtype() == DType::f32) {
      EXPECT_EQ(std::memcmp(got.weights[i].raw(), three.weights[i].raw(), three.weights[i].bytes()), 0) << i;
    }
  }
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
