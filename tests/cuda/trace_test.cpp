// Ranges for profilers: parts of the network are named in both passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "autograd/functions.h"
#include "autograd/layer_range.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/trace_log.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::testing {
namespace {

using ::testing::ElementsAre;

Variable square_in(const char* name, const Variable& x) {
  const LayerRange range(name);
  return mul(x, relu(x));
}

TEST(Trace, BackwardOpensTheRangesOfTheForwardPassFromTheLast) {
  const Variable x(Tensor::full({3}, 2), true);
  const Variable first = square_in("first", x);
  const Variable second = square_in("second", scale(first, 2));
  const Variable total = sum(second);
  const TraceLog log;
  total.backward();
  EXPECT_THAT(log.paths(), ElementsAre("second", "first")) << "one each; what was recorded outside has none";
  EXPECT_EQ(log.depth(), 0U);
  EXPECT_GT(x.grad().data<float>()[0], 0);
}

TEST(Trace, OperationsBelongToTheInnermostRange) {
  const Variable x(Tensor::full({3}, 2), true);
  TraceLog log;
  Variable y;
  {
    const LayerRange outer("outer");
    y = square_in("inner", relu(x));
    EXPECT_STREQ(LayerRange::current(), "outer");
    y = sum(y);
  }
  EXPECT_EQ(LayerRange::current(), nullptr);
  EXPECT_THAT(log.paths(), ElementsAre("outer", "outer/inner"));
  y.backward();
  EXPECT_THAT(log.paths(), ElementsAre("outer", "outer/inner", "outer", "inner", "outer"));
}

TEST(Trace, ABackwardPassThatThrowsClosesItsRange) {
  const Variable x(Tensor::full({3}, 2), true);
  Variable y;
  {
    const LayerRange range("broken");
    y = record("broken", Tensor::full({}, 1), {x}, [](const Tensor&) -> std::vector<Tensor> { fail("broken"); });
  }
  const TraceLog log;
  EXPECT_THROW(y.backward(), Error);
  EXPECT_THAT(log.paths(), ElementsAre("broken"));
  EXPECT_EQ(log.depth(), 0U);
}

std::vector<std::string> inside(const std::vector<std::string>& paths, const std::string& prefix) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    if (path.starts_with(prefix)) {
      out.push_back(path.substr(prefix.size()));
    }
  }
  return out;
}

TEST(Trace, ATrainingStepNamesEveryBlockInBothPasses) {
  const train::TrainOptions options = train::tiny_options();
  const train::TrainingData data = train::tiny_data(options);
  train::Trainer trainer(nn::make_model(options.features, options.encoder, 1), options.optimizer, 0.1);
  const data::Batch batch = data.training->batch(0);
  const TraceLog log;
  trainer.step(batch, 1e-3);
  std::vector<std::string> parts = inside(log.paths(), "train step/forward/");
  EXPECT_THAT(parts,
              ElementsAre("front", "block 1", "block 2", "block 3", "block 4", "block 5", "block 6", "head", "loss"));
  std::reverse(parts.begin(), parts.end());
  EXPECT_EQ(inside(log.paths(), "train step/backward/"), parts);
  EXPECT_EQ(inside(log.paths(), "train step/optimizer").size(), 1U);
}

}  // namespace
}  // namespace earmark::testing
