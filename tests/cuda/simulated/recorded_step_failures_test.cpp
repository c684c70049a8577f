// A step that is recorded while memory runs out: an error that says so, and nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cudasim/control.h"
#include "kernels/error.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

TEST(RecordedStepFailures, MemoryThatEndsAnywhereIsAnErrorAndIsGivenBack) {
  const TrainOptions options = tiny_options();
  const data::Batch batch = tiny_data(options).training->batch(0);
  const auto two_steps = [&] {
    nn::Model model = nn::make_model(options.features, options.encoder, 1);
    model.encoder->to(earmark::testing::kGpu);
    Trainer trainer(model, options.optimizer, 0.1, {.cuda_graph = true});
    trainer.step(batch, 1e-3);
    trainer.step(batch, 1e-3);
  };
  two_steps();  // what is made once and kept
  const cudasim::LiveMemory before = cudasim::live_memory();
  int failures = 0;
  bool failed = true;
  for (std::uint64_t n = 1; failed; n += 1 + n / 4) {
    cudasim::fail_allocations(n, 2);  // the second try, after unused memory was given back, fails as well
    failed = false;
    try {
      two_steps();
    } catch (const Error& error) {
      failed = true;
      ++failures;
      EXPECT_THAT(error.what(), ::testing::HasSubstr("out of memory on cuda:0")) << "allocation " << n;
    }
    EXPECT_EQ(cudasim::live_memory().allocations, before.allocations) << "allocation " << n;
    EXPECT_EQ(cudasim::live_memory().bytes, before.bytes) << "allocation " << n;
  }
  cudasim::fail_allocations(0, 0);
  EXPECT_GT(failures, 5);
}

}  // namespace
}  // namespace earmark::train
