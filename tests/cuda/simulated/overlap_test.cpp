// What runs beside what: a batch is ready while the training's own work is still queued.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <future>

#include "data/loader.h"
#include "kernels/cuda/mark.h"
#include "kernels/cuda/stream.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

bool same(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.to(Device{}).values<float>(), b.to(Device{}).values<float>());
}

/// A worker's stream waits for nothing of the main stream's: if it did, its batch would come after the steps. Streams
/// run piece by piece in an order that the seed draws; a batch is far fewer pieces than the steps are.
TEST(Overlap, ABatchIsReadyBeforeTheStepsThatWereQueuedBeforeIt) {
  TrainOptions options = tiny_options();
  options.pairs.pairs = 2;
  const TrainingData data = tiny_data(options);
  const data::Batch want = data.training->batch(1, kGpu);
  nn::Model model = nn::make_model(options.features, options.encoder, 1);
  model.encoder->to(kGpu);
  Trainer trainer(model, options.optimizer, 0.1);
  EXPECT_TRUE(trainer.step(want, 1e-3).finite());
  constexpr int kSteps = 4;
  for (int step = 0; step < kSteps; ++step) {
    trainer.begin_step(want, 1e-3);
  }
  const auto steps_done = kernels::cuda::mark();
  // The worker's next batch stands back until the steps have been looked at: whoever waits drives all streams on.
  std::promise<void> looked_at;
  const auto make = [&, may_go_on = looked_at.get_future().share()](std::int64_t step) {
    if (step > 1) {
      may_go_on.wait();
    }
    return data.training->batch(step, kGpu);
  };
  data::Loader loader(make, 1, 1, 1, kGpu);
  const data::Batch got = loader.next();
  EXPECT_FALSE(steps_done->passed()) << "the batch has waited for the steps";
  looked_at.set_value();
  EXPECT_TRUE(same(got.clean, want.clean) && same(got.distorted, want.distorted));
  for (int step = 0; step < kSteps; ++step) {
    EXPECT_TRUE(trainer.finish_step().finite());
  }
  EXPECT_TRUE(steps_done->passed());
}

}  // namespace
}  // namespace earmark::train
