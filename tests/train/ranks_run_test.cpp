// Runs of several processes against the run of one: losses, checkpoints, going on with another number of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>

#include "kernels/error.h"
#include "nn/safetensors.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/run.h"

namespace earmark::train {
namespace {

namespace fs = std::filesystem;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

class RanksRun : public ::testing::Test {
 protected:
  RanksRun() {
    options_.steps = 50;
    options_.checkpoint_interval = 25;
    options_.validation.interval = 25;
    options_.pairs.pairs = 64;
    options_.pairs.reverb_probability = options_.pairs.both_probability = 0;  // slow to make, and nothing of ranks
    options_.data.workers = 0;
  }

  /// The losses of all steps of the run `name`, begun or gone on with by `size` processes.
  std::vector<double> losses(const std::string& name, int size) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, name, never_); });
    std::ifstream log(folder_ / name / "log.csv");
    std::vector<double> numbers;
    std::string line;
    std::getline(log, line);
    while (std::getline(log, line)) {
      numbers.push_back(std::stod(line.substr(line.find(',') + 1)));
    }
    return numbers;
  }

  RunReport train_as_one_of(const std::shared_ptr<Communicator>& ranks, const std::string& name,
                            const std::atomic<bool>& stop) {
    const TrainingData data = tiny_data(options_);
    if (ranks->rank() != 0) {
      return run_training(options_, data, RunPlace{nullptr, ranks}, stop, Device{}, false);
    }
    const fs::path path = folder_ / name;
    const RunFolder folder = fs::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
    return run_training(options_, data, RunPlace{&folder, ranks}, stop, Device{}, false);
  }

  void expect_same_training();
  void expect_same_bits();

  fs::path last_checkpoint_file(const std::string& name, const std::string& file) const {
    return *RunFolder::open(folder_ / name).latest_checkpoint() / file;
  }
  nn::SafetensorsFile last_checkpoint(const std::string& name, const std::string& file) const {
    return nn::read_safetensors(last_checkpoint_file(name, file));
  }

  TemporaryFolder folder_;
  TrainOptions options_ = tiny_options();
  std::atomic<bool> never_{false};
};

class RanksRunWhole : public RanksRun {};  // too long for sanitizers

void expect_close(const std::vector<double>& got, const std::vector<double>& want, double relative) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t step = 0; step < want.size(); ++step) {
    EXPECT_NEAR(got[step], want[step], relative * want[step]) << "step " << step + 1;
  }
}

/// Euclidean distance between the values of two files with the same tensors, running statistics left out.
double distance(const nn::SafetensorsFile& a, const nn::SafetensorsFile& b) {
  EXPECT_EQ(a.tensors.size(), b.tensors.size());
  double squares = 0;
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    const auto& [name, values] = a.tensors[i];
    EXPECT_EQ(b.tensors[i].first, name);
    EXPECT_EQ(b.tensors[i].second.shape(), values.shape());
    const std::int64_t count = name.find("running") == std::string::npos ? values.numel() : 0;
    for (std::int64_t k = 0; k < count; ++k) {
      const double difference = static_cast<double>(values.data<float>()[k]) - b.tensors[i].second.data<float>()[k];
      squares += difference * difference;
    }
  }
  return std::sqrt(squares);
}

/// Runs of 1, 2 and 4 processes: the same losses within 1e-4, the same files, and weights that moved alike.
void RanksRun::expect_same_training() {
  const std::vector<double> one = losses("1", 1);
  ASSERT_EQ(one.size(), 50U);
  nn::save_model(folder_ / "fresh.safetensors", nn::make_model(options_.features, options_.encoder, options_.seed));
  const nn::SafetensorsFile fresh = nn::read_safetensors(folder_ / "fresh.safetensors");
  const double moved = distance(last_checkpoint("1", "model.safetensors"), fresh);
  EXPECT_GT(moved, 0);
  for (const int size : {2, 4}) {
    const std::string name = std::to_string(size);
    expect_close(losses(name, size), one, 1e-4);
    EXPECT_LT(distance(last_checkpoint(name, "model.safetensors"), last_checkpoint("1", "model.safetensors")),
              0.1 * moved);
    EXPECT_EQ(last_checkpoint(name, "optimizer.safetensors").metadata,
              last_checkpoint("1", "optimizer.safetensors").metadata);
    distance(last_checkpoint(name, "optimizer.safetensors"), last_checkpoint("1", "optimizer.safetensors"));
  }
}

// Each step rounds otherwise, and where a value beside the kink of a ReLU falls on its other side, the gradient jumps
// by some percent: the steps are short, so that what such jumps add up to stays below the limit.
TEST_F(RanksRunWhole, AnyNumberOfProcessesTrainsTheSame) {
  options_.optimizer.learning_rate = 2e-6;
  expect_same_training();
}

// No kinks, and no batch normalisation: steps as long as in any training.
TEST_F(RanksRunWhole, AnyNumberOfProcessesTrainsASmoothNetworkTheSame) {
  options_ = with_nafps_network(options_);
  options_.optimizer.learning_rate = 1e-3;
  options_.pairs.pairs = 16;
  expect_same_training();
}

/// Runs of 1, 2 and 4 processes with reduction groups: the same bits, and they learn.
void RanksRun::expect_same_bits() {
  options_.reduction_groups = 4;
  const std::vector<double> one = losses("1", 1);
  ASSERT_EQ(one.size(), 50U);
  EXPECT_LT(one.back(), one.front());
  for (const std::string name : {"2", "4"}) {
    losses(name, std::stoi(name));
    EXPECT_EQ(timeless(folder_ / name / "log.csv"), timeless(folder_ / "1" / "log.csv"));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
      EXPECT_TRUE(written(last_checkpoint_file(name, file)) == written(last_checkpoint_file("1", file)))
          << file << " of " << name << " processes";
    }
    EXPECT_TRUE(written(folder_ / name / "model.safetensors") == written(folder_ / "1" / "model.safetensors"));
  }
}

TEST_F(RanksRunWhole, WithReductionGroupsAnyNumberOfProcessesTrainsTheSameBits) {
  options_.optimizer.learning_rate = 1e-4;
  expect_same_bits();
}

TEST_F(RanksRunWhole, WithReductionGroupsAnyNumberOfProcessesTrainsNafpsNetworkTheSameBits) {
  options_ = with_nafps_network(options_);
  options_.features.normalization = FeatureOptions::Normalization::batch_maximum;
  options_.optimizer.kind = OptimizerKind::lamb;
  options_.optimizer.learning_rate = 1e-3;
  options_.optimizer.clip_norm = 1;
  options_.pairs.pairs = 16;
  expect_same_bits();
}

TEST_F(RanksRunWhole, WithReductionGroupsGoingOnWithAnotherNumberOfProcessesGivesTheSameBits) {
  options_.reduction_groups = 4;
  options_.pairs.pairs = 8;
  options_.steps = 6;
  options_.validation.interval = 2;
  options_.optimizer.schedule = Schedule::constant;
  losses("straight", 2);
  int steps = 0;
  for (const int size : {4, 1, 2}) {
    options_.steps = steps += 2;
    losses("parts", size);
  }
  EXPECT_EQ(timeless(folder_ / "parts" / "log.csv"), timeless(folder_ / "straight" / "log.csv"));
  EXPECT_TRUE(written(folder_ / "parts" / "model.safetensors") == written(folder_ / "straight" / "model.safetensors"));
}

TEST_F(RanksRun, TheSameNumberOfProcessesGivesTheSameBits) {
  options_.steps = 4;
  losses("a", 2);
  losses("b", 2);
  EXPECT_TRUE(written(folder_ / "a" / "model.safetensors") == written(folder_ / "b" / "model.safetensors"));
  EXPECT_EQ(timeless(folder_ / "a" / "log.csv"), timeless(folder_ / "b" / "log.csv"));
}

TEST_F(RanksRunWhole, GoesOnWithAnotherNumberOfProcesses) {
  options_.pairs.pairs = 16;
  options_.steps = 24;
  options_.optimizer.schedule = Schedule::constant;
  options_.optimizer.learning_rate = 1e-5;
  const std::vector<double> straight = losses("straight", 1);
  options_.steps = 8;
  losses("parts", 1);
  options_.steps = 16;
  losses("parts", 2);
  options_.steps = 24;
  expect_close(losses("parts", 1), straight, 1e-4);
}

TEST_F(RanksRun, AllStopAfterTheSameStepWhereOneIsAskedTo) {
  options_.pairs.pairs = 18;
  std::vector<RunReport> reports(3);
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    const std::atomic<bool> asked{ranks->rank() == 1};
    reports[static_cast<std::size_t>(ranks->rank())] = train_as_one_of(ranks, "run", asked);
  });
  for (const RunReport& report : reports) {
    EXPECT_TRUE(report.interrupted);
    EXPECT_EQ(report.steps, 1);
    EXPECT_EQ(report.loss, reports[0].loss);
  }
  EXPECT_TRUE(fs::exists(folder_ / "run" / "checkpoints" / "step-00000001"));
}

TEST_F(RanksRun, PairsThatCannotBeSharedOutAreRefused) {
  const std::vector<std::string> problems = problems_of_threads(
      3, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, "run", never_); });
  EXPECT_THAT(problems, ::testing::Each(HasSubstr("pairs.count is 64: it must be divisible by the number of processes, "
                                                  "which is 3")));
}

TEST_F(RanksRun, GroupsThatCannotBeSharedOutAreRefused) {
  options_.pairs.pairs = 12;
  options_.reduction_groups = 4;
  const std::vector<std::string> problems = problems_of_threads(
      3, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, "run", never_); });
  EXPECT_THAT(problems, ::testing::Each(HasSubstr("train.reduction_groups is 4: it must be divisible by the number of "
                                                  "processes, which is 3")));
}

TEST_F(RanksRun, ALossThatIsNoNumberEndsAllAndTheWholeBatchIsListed) {
  options_.pairs.pairs = 8;
  options_.optimizer.warmup_steps = 0;
  options_.optimizer.learning_rate = std::numeric_limits<double>::infinity();  // the first step ruins every weight
  const std::vector<std::string> problems = problems_of_threads(
      2, [&](const std::shared_ptr<Communicator>& ranks) { train_as_one_of(ranks, "run", never_); });
  EXPECT_THAT(problems[0], HasSubstr("step 2: the loss is not finite; nothing was updated"));
  EXPECT_THAT(problems[1], HasSubstr("step 2: the loss or the gradient is not finite; rank 0 says more"));
  const std::string batch = written(folder_ / "run" / "bad-batch.txt");
  EXPECT_EQ(std::count(batch.begin(), batch.end(), '\n'), 8);
}

TEST_F(RanksRun, AnErrorOfRankZeroEndsTheOthers) {
  options_.steps = 3;
  options_.checkpoint_interval = 2;
  std::vector<std::string> problems = problems_of_threads(2, [&](const std::shared_ptr<Communicator>& ranks) {
    const TrainingData data = tiny_data(options_);
    if (ranks->rank() != 0) {
      run_training(options_, data, RunPlace{nullptr, ranks}, never_, Device{}, false);
      return;
    }
    const RunFolder folder = RunFolder::create(folder_ / "run", "");
    std::ofstream(folder_ / "run" / "checkpoints") << "no folder";
    run_training(options_, data, RunPlace{&folder, ranks}, never_, Device{}, false);
  });
  EXPECT_THAT(problems[0], HasSubstr("checkpoints"));
  EXPECT_THAT(problems[1], ::testing::AnyOf(HasSubstr("another rank has failed"), HasSubstr("has ended")));
}

}  // namespace
}  // namespace earmark::train
