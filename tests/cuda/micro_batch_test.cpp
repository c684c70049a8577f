// Training steps in micro-batches on a GPU: the CPU's numbers, and the same bits from a CUDA graph.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "tests/train/training_outcome.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

class GpuTrainingInMicroBatches : public earmark::testing::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    options_.optimizer.clip_norm = 0.5;
    if (!IsSkipped()) {
      const TrainingData data = tiny_data(options_);
      for (int step = 0; step < 4; ++step) {
        batches_.push_back(data.training->batch(step));
      }
    }
  }
  /// Steps on all batches in micro-batches of two pairs, of six.
  TrainingOutcome train(Device device, bool cuda_graph, DType activations = DType::f32) {
    const nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
    model.encoder->to(device);
    model.encoder->set_activation_type(activations);
    Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = cuda_graph, .micro_batch = 2});
    std::vector<StepReport> reports;
    for (const data::Batch& batch : batches_) {
      reports.push_back(trainer.step(batch, 1e-3));
    }
    return outcome_of(trainer, reports);
  }
  void expect_same_bits_recorded(DType activations) {
    expect_same_bits(train(kGpu, true, activations), train(kGpu, false, activations));
  }

  TrainOptions options_ = tiny_options();
  std::vector<data::Batch> batches_;
};

TEST_F(GpuTrainingInMicroBatches, RecordedStepsAreTheSameBits) {
  expect_same_bits_recorded(DType::f32);
  expect_same_bits_recorded(DType::bf16);
}

TEST_F(GpuTrainingInMicroBatches, SoTheyAreOfNafpsNetwork) {
  options_ = with_nafps_network(options_);
  options_.optimizer.kind = OptimizerKind::lamb;
  expect_same_bits_recorded(DType::f32);
}

TEST_F(GpuTrainingInMicroBatches, TheFirstStepIsTheCpus) {
  for (const TrainOptions& options : {options_, with_nafps_network(options_)}) {
    options_ = options;
    const TrainingOutcome want = train({}, false);
    const TrainingOutcome got = train(kGpu, false);
    EXPECT_NEAR(got.reports[0].loss, want.reports[0].loss, 1e-4);
    EXPECT_NEAR(got.reports[0].grad_norm, want.reports[0].grad_norm, 1e-3 * want.reports[0].grad_norm);
  }
}

TEST_F(GpuTrainingInMicroBatches, LaunchesTakeNoMemory) {
  nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
  model.encoder->to(kGpu);
  Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = true, .micro_batch = 2});
  data::Batch batch = batches_[0];
  batch.clean = batch.clean.to(kGpu);
  batch.distorted = batch.distorted.to(kGpu);
  trainer.step(batch, 1e-3);
  trainer.step(batch, 1e-3);
  const auto before = kernels::cuda::memory_use();
  trainer.step(batch, 1e-3);
  EXPECT_EQ(kernels::cuda::memory_use().allocations, before.allocations);
}

}  // namespace
}  // namespace earmark::train
