// What the host waits for in a training step: its report, and nothing else.
#include <gtest/gtest.h>

#include "cudasim/control.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

TEST(StepWaits, AStepWaitsForNothingAndItsReportForAnEvent) {
  const TrainOptions options = tiny_options();
  const TrainingData data = tiny_data(options);
  for (const bool cuda_graph : {false, true}) {
    nn::Model model = nn::make_model(options.features, options.encoder, 1);
    model.encoder->to(earmark::testing::kGpu);
    Trainer trainer(model, options.optimizer, 0.1, {.cuda_graph = cuda_graph});
    const data::Batch batch = data.training->batch(0, earmark::testing::kGpu);
    trainer.begin_step(batch, 1e-3);
    const cudasim::HostWaits before = cudasim::host_waits();
    for (int step = 0; step < 4; ++step) {
      trainer.begin_step(batch, 1e-3);
    }
    const cudasim::HostWaits begun = cudasim::host_waits();
    EXPECT_EQ(begun.device, before.device);
    EXPECT_EQ(begun.streams, before.streams);
    EXPECT_EQ(begun.copies, before.copies);
    EXPECT_EQ(begun.events, before.events);
    for (int step = 0; step < 5; ++step) {
      EXPECT_TRUE(trainer.finish_step().finite());
    }
    const cudasim::HostWaits after = cudasim::host_waits();
    EXPECT_EQ(after.device, before.device);
    EXPECT_EQ(after.streams, before.streams);
    EXPECT_EQ(after.copies, before.copies);
    EXPECT_EQ(after.events, before.events + 5);
  }
}

}  // namespace
}  // namespace earmark::train
