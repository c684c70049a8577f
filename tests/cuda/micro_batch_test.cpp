// Training steps in micro-batches on a GPU: the CPU's numbers, and the same bits from a CUDA graph.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

struct MicroBatchOutcome {
  std::vector<StepReport> reports;
  std::vector<Tensor> tensors;  // weights and buffers
};

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
  MicroBatchOutcome train(Device device, bool cuda_graph, DType activations = DType::f32) {
    nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
    model.encoder->to(device);
    model.encoder->set_activation_type(activations);
    MicroBatchOutcome outcome;
    {
      Trainer trainer(model, options_.optimizer, 0.1, {.cuda_graph = cuda_graph, .micro_batch = 2});
      for (const data::Batch& batch : batches_) {
        outcome.reports.push_back(trainer.step(batch, 1e-3));
      }
    }
    for (const nn::NamedParameter& parameter : model.encoder->parameters()) {
      outcome.tensors.push_back(parameter.variable.value().to(Device{}).clone());
    }
    for (const nn::NamedBuffer& buffer : model.encoder->buffers()) {
      outcome.tensors.push_back(buffer.tensor.to(Device{}).clone());
    }
    return outcome;
  }
  void expect_same_bits_recorded(DType activations) {
    const MicroBatchOutcome want = train(kGpu, false, activations);
    const MicroBatchOutcome got = train(kGpu, true, activations);
    for (std::size_t step = 0; step < want.reports.size(); ++step) {
      EXPECT_TRUE(want.reports[step].finite());
      EXPECT_EQ(got.reports[step].loss, want.reports[step].loss) << "step " << step;
      EXPECT_EQ(got.reports[step].top1, want.reports[step].top1) << "step " << step;
      EXPECT_EQ(got.reports[step].grad_norm, want.reports[step].grad_norm) << "step " << step;
    }
    for (std::size_t i = 0; i < want.tensors.size(); ++i) {
      EXPECT_EQ(std::memcmp(got.tensors[i].raw(), want.tensors[i].raw(), want.tensors[i].bytes()), 0) << i;
    }
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
    const MicroBatchOutcome want = train({}, false);
    const MicroBatchOutcome got = train(kGpu, false);
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
