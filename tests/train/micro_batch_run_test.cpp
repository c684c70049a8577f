// Whole runs in micro-batches: stopped and resumed, by several processes, with keys that do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "kernels/error.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/config.h"
#include "train/run.h"

namespace earmark::train {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class MicroBatchRun : public ::testing::Test {
 protected:
  MicroBatchRun() {
    options_.pairs.pairs = 8;
    options_.pairs.reverb_probability = options_.pairs.both_probability = 0;
    options_.steps = 4;
    options_.checkpoint_interval = 2;
    options_.validation.interval = 0;
    options_.micro_batch = 2;
  }
  /// One process's part of the run `name`, begun or gone on with.
  RunReport train(const std::string& name, const std::shared_ptr<Communicator>& ranks, bool stop = false) {
    const std::atomic<bool> stopped{stop};
    const TrainingData data = tiny_data(options_);
    if (ranks->rank() != 0) {
      return run_training(options_, data, RunPlace{nullptr, ranks}, stopped, Device{}, false);
    }
    const std::filesystem::path path = folder_ / name;
    const RunFolder folder = std::filesystem::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
    return run_training(options_, data, RunPlace{&folder, ranks}, stopped, Device{}, false);
  }
  RunReport train_alone(const std::string& name, bool stop = false) {
    return train(name, make_communicator({}, {}), stop);
  }
  RunReport train_as_two(const std::string& name) {
    std::vector<RunReport> reports(2);
    run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
      reports[static_cast<std::size_t>(ranks->rank())] = train(name, ranks);
    });
    return reports[0];
  }
  void expect_same_run(const std::string& a, const std::string& b) const {
    for (const char* file : {"model.safetensors", "checkpoints/step-00000004/optimizer.safetensors"}) {
      EXPECT_TRUE(written(folder_ / a / file) == written(folder_ / b / file)) << file;
    }
    EXPECT_EQ(timeless(folder_ / a / "log.csv"), timeless(folder_ / b / "log.csv"));
  }

  earmark::testing::TemporaryFolder folder_;
  TrainOptions options_ = tiny_options();
};

TEST_F(MicroBatchRun, StoppedAndResumedEqualsStraightBitForBit) {
  train_alone("straight");
  for (int start = 1; start <= 3; ++start) {
    EXPECT_TRUE(train_alone("parts", true).interrupted);
  }
  EXPECT_FALSE(train_alone("parts").interrupted);
  expect_same_run("straight", "parts");
}

TEST_F(MicroBatchRun, ProcessesGiveTheSameBitsEachTime) {
  train_as_two("a");
  train_as_two("b");
  expect_same_run("a", "b");
}

TEST_F(MicroBatchRun, OneMicroBatchOfAllIsTheWhole) {
  options_.micro_batch = 8;
  train_alone("one");
  options_.micro_batch = 0;
  train_alone("whole");
  expect_same_run("one", "whole");
}

// NAFP's network has no batch statistics: in parts, or divided among processes, it is trained the same but for
// rounding.
TEST_F(MicroBatchRun, ANetworkWithoutBatchStatisticsTrainsTheSame) {
  options_ = with_nafps_network(options_);
  options_.optimizer.learning_rate = 1e-3;
  const double in_parts = train_alone("in parts").loss;
  EXPECT_NEAR(train_as_two("as two").loss, in_parts, 1e-4 * in_parts);
  options_.micro_batch = 0;
  EXPECT_NEAR(train_alone("whole").loss, in_parts, 1e-4 * in_parts);
}

TEST_F(MicroBatchRun, WhatDoesNotDivideAProcesssPairsIsRefused) {
  options_.micro_batch = 8;
  const std::vector<std::string> problems =
      problems_of_threads(2, [&](const std::shared_ptr<Communicator>& ranks) { train("run", ranks); });
  EXPECT_THAT(problems,
              ::testing::Each(HasSubstr("train.micro_batch is 8: it must divide the pairs of a process, which are 4")));
}

std::string error_of_key(const std::string& value) {
  Config config = Config::parse(
      "data: {music: /m, colored_noise: pink, rooms: 1}\npairs: {count: 12}\ntrain:\n"
      "  micro_batch: " +
          value + "\n",
      "some.yaml");
  return testing::error_of([&] { check_train_options(config, read_train_options(config)); });
}

TEST(MicroBatchKey, IsAWholeNumberThatDividesTheBatch) {
  EXPECT_EQ(error_of_key("0"), "no error");
  EXPECT_EQ(error_of_key("4"), "no error");
  EXPECT_EQ(error_of_key("12"), "no error");
  EXPECT_THAT(error_of_key("5"), StartsWith("some.yaml:4: train.micro_batch: is 5, which does not divide the 12"));
  EXPECT_THAT(error_of_key("24"), HasSubstr("train.micro_batch: is 24, which does not divide the 12 pairs"));
  for (const char* bad : {"-1", "2.5", "many", "100000"}) {
    EXPECT_THAT(error_of_key(bad), StartsWith("some.yaml:4: train.micro_batch: expected")) << bad;
  }
}

}  // namespace
}  // namespace earmark::train
