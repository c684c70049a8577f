// Whole runs whose processes divide the optimiser's state: the bits and the files of runs in which each keeps it all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>

#include "kernels/error.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/config.h"
#include "train/run.h"

namespace earmark::train {
namespace {

using ::testing::HasSubstr;

class ShardedRun : public ::testing::Test {
 protected:
  ShardedRun() {
    options_.pairs.pairs = 12;
    options_.pairs.reverb_probability = options_.pairs.both_probability = 0;
    options_.optimizer.schedule = Schedule::constant;
    options_.optimizer.clip_norm = 1;
    options_.checkpoint_interval = 2;
    options_.validation.interval = 2;
  }
  /// The run `name` to step `steps` by `size` processes, begun or gone on with.
  void train(const std::string& name, std::int64_t steps, int size, bool shard_optimizer) {
    options_.steps = steps;
    options_.shard_optimizer = shard_optimizer;
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, name); });
  }
  void train_as_one_of(const std::shared_ptr<Communicator>& ranks, const std::string& name) {
    const std::atomic<bool> never{false};
    const TrainingData data = tiny_data(options_);
    if (ranks->rank() != 0) {
      run_training(options_, data, RunPlace{nullptr, ranks}, never, Device{}, false);
      return;
    }
    const std::filesystem::path path = folder_ / name;
    const RunFolder folder = std::filesystem::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
    run_training(options_, data, RunPlace{&folder, ranks}, never, Device{}, false);
  }
  void expect_same_run(const std::string& a, const std::string& b, const std::string& checkpoint) const {
    for (const std::string& file :
         {std::string("model.safetensors"), std::string("best.safetensors"),
          "checkpoints/" + checkpoint + "/model.safetensors", "checkpoints/" + checkpoint + "/optimizer.safetensors"}) {
      EXPECT_TRUE(written(folder_ / a / file) == written(folder_ / b / file)) << file;
    }
    EXPECT_EQ(timeless(folder_ / a / "log.csv"), timeless(folder_ / b / "log.csv"));
  }

  earmark::testing::TemporaryFolder folder_;
  TrainOptions options_ = tiny_options();
};

class ShardedRunWhole : public ShardedRun {};  // too long for sanitizers

TEST_F(ShardedRun, GivesTheSameBitsAndCheckpoints) {
  train("whole", 4, 2, false);
  train("divided", 4, 2, true);
  expect_same_run("whole", "divided", "step-00000004");
}

TEST_F(ShardedRun, SoItDoesWithLambAndNafpsNetworkInMicroBatches) {
  options_ = with_nafps_network(options_);
  options_.optimizer.kind = OptimizerKind::lamb;
  options_.optimizer.weight_decay = 0.01;
  options_.micro_batch = 2;
  train("whole", 4, 3, false);
  train("divided", 4, 3, true);
  expect_same_run("whole", "divided", "step-00000004");
}

TEST_F(ShardedRunWhole, GoesOnWithAnotherNumberOfProcessesDividedOrNot) {
  train("whole", 2, 2, false);
  train("whole", 4, 3, false);
  train("whole", 6, 1, false);
  train("divided", 2, 2, true);
  train("divided", 4, 3, true);
  train("divided", 6, 1, true);  // there is nobody to divide it with
  expect_same_run("whole", "divided", "step-00000006");
  train("mixed", 2, 2, true);
  train("mixed", 4, 3, false);
  train("mixed", 6, 1, false);
  expect_same_run("whole", "mixed", "step-00000006");
}

// With equal bits for any number of processes, dividing the state leaves them equal.
TEST_F(ShardedRunWhole, WithReductionGroupsAnyNumberOfProcessesGivesTheSameBits) {
  options_.reduction_groups = 4;
  train("one", 4, 1, true);
  train("two", 4, 2, true);
  train("four", 4, 4, true);
  expect_same_run("one", "two", "step-00000004");
  expect_same_run("one", "four", "step-00000004");
}

TEST_F(ShardedRun, ALossThatIsNoNumberEndsAllAsEver) {
  options_.steps = 4;
  options_.shard_optimizer = true;
  options_.optimizer.warmup_steps = 0;
  options_.optimizer.learning_rate = std::numeric_limits<double>::infinity();  // the first step ruins every weight
  const std::vector<std::string> problems =
      problems_of_threads(2, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, "run"); });
  EXPECT_THAT(problems[0], HasSubstr("step 2: the loss is not finite; nothing was updated"));
  EXPECT_THAT(problems[1], HasSubstr("step 2: the loss or the gradient is not finite; rank 0 says more"));
}

TEST(ShardOptimizerKey, IsOffUnlessAskedFor) {
  const auto option = [](const std::string& train) {
    Config config = Config::parse("train: {" + train + "}\n", "some.yaml");
    return read_train_options(config).shard_optimizer;
  };
  EXPECT_FALSE(option(""));
  EXPECT_TRUE(option("shard_optimizer: true"));
  EXPECT_THAT(testing::error_of([&] { option("shard_optimizer: 2"); }), HasSubstr("train.shard_optimizer"));
}

}  // namespace
}  // namespace earmark::train
