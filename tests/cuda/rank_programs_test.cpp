// Whole programs as several processes with a GPU each, started by `launch` or told by their environment.
#include <gmock/gmock.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "kernels/error.h"
#include "tests/cuda/gpu.h"
#include "tests/ranks.h"
#include "tests/search/composed.h"
#include "tests/train/train_program.h"

namespace earmark::train {
namespace {

using earmark::testing::EnvironmentScope;
using earmark::testing::GpuTest;
using earmark::testing::run;
using ::testing::AnyOf;

/// Skips where there are fewer GPUs.
void need_gpus(int count) {
  const int here = kernels::cuda::device_count();
  if (here < count) {
    GTEST_SKIP() << "there are " << here << " GPUs, not " << count;
  }
}

/// `launch` with so many ranks, each a program of the project.
std::vector<std::string> launched(int size, const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"--nproc-per-node", std::to_string(size), program};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

std::vector<double> losses_in(const std::filesystem::path& log) {
  std::ifstream in(log);
  std::vector<double> losses;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    losses.push_back(std::stod(line.substr(line.find(',') + 1)));
  }
  return losses;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& want, double relative) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t step = 0; step < want.size(); ++step) {
    EXPECT_NEAR(got[step], want[step], relative * want[step]) << "step " << step + 1;
  }
}

class GpuRankProgramsWhole : public TrainProgram {
 protected:
  void SetUp() override {
    earmark::testing::skip_without_gpu();
    if (!IsSkipped()) {
      need_gpus(2);
    }
  }
  /// A run on `device` with settings "key=value".
  std::vector<std::string> training(const std::string& out, const std::string& device,
                                    const std::vector<std::string>& settings) const {
    std::vector<std::string> all = arguments(out, settings);
    all.insert(all.end(), {"--device", device});
    return all;
  }
  std::vector<double> losses(const std::string& out) const { return losses_in(folder_ / out / "log.csv"); }
  /// The losses of a run by `size` processes that `launch` starts.
  std::vector<double> trained_by(int size, const std::string& out, const std::string& device,
                                 const std::vector<std::string>& settings) {
    const Ended ended = earmark::testing::run("launch", launched(size, "train", training(out, device, settings)));
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("device " + device));
    return losses(out);
  }
};

// Each step rounds otherwise, and where a value beside the kink of a ReLU falls on its other side, the gradient jumps
// by some percent: as in the CPU's test (tests/train/ranks_run_test.cpp), steps are so short that what such jumps add
// up to stays below the limit.
TEST_F(GpuRankProgramsWhole, FiftyStepsOfOneTwoAndFourGiveTheSameLosses) {
  const std::vector<std::string> settings{
      "train.steps=50",        "train.learning_rate=2e-6",   "pairs.count=8",           "train.checkpoint_interval=50",
      "validation.interval=0", "pairs.reverb_probability=0", "pairs.both_probability=0"};
  const std::vector<double> one = trained_by(1, "one", "cuda", settings);
  ASSERT_EQ(one.size(), 50U);
  expect_close(trained_by(2, "two", "cuda", settings), one, 1e-4);
  if (kernels::cuda::device_count() >= 4) {
    expect_close(trained_by(4, "four", "cuda", settings), one, 1e-4);
  }
}

/// As one process does (GpuTrainingProgramsWhole): at a width of 4 two updates stay within 1e-5.
TEST_F(GpuRankProgramsWhole, TwoProcessesGiveTheLossesOfTwoOnTheCpu) {
  const std::vector<std::string> settings{"train.steps=3", "encoder.width=4", "train.schedule=constant",
                                          "train.learning_rate=1e-4", "validation.interval=0"};
  expect_close(trained_by(2, "gpus", "cuda", settings), trained_by(2, "cpu", "cpu", settings), 1e-4);
}

TEST_F(GpuRankProgramsWhole, RecordedStepsAreTheSameBits) {
  const std::vector<std::string> settings{"train.steps=3", "validation.interval=0"};
  const std::vector<double> want = trained_by(2, "queued", "cuda", settings);
  std::vector<std::string> recorded = settings;
  recorded.emplace_back("train.cuda_graph=true");
  EXPECT_EQ(trained_by(2, "recorded", "cuda", recorded), want) << "to the last bit";
  EXPECT_EQ(bytes_of(folder_ / "recorded" / "model.safetensors"), bytes_of(folder_ / "queued" / "model.safetensors"));
}

TEST_F(GpuRankProgramsWhole, MicroBatchesAndDividedMomentsGiveTheBitsOfWholeMoments) {
  std::vector<std::string> settings{"train.steps=3", "train.micro_batch=1", "validation.interval=0"};
  const std::vector<double> want = trained_by(2, "whole", "cuda", settings);
  settings.emplace_back("train.shard_optimizer=true");
  EXPECT_EQ(trained_by(2, "divided", "cuda", settings), want) << "to the last bit";
  EXPECT_EQ(bytes_of(folder_ / "divided" / "model.safetensors"), bytes_of(folder_ / "whole" / "model.safetensors"));
  settings.pop_back();
  expect_close(trained_by(2, "cpu", "cpu", settings), want, 1e-3);
}

TEST_F(GpuRankProgramsWhole, StopsAndGoesOnWithAnotherNumberOfProcesses) {
  const std::vector<std::string> endless{"train.steps=1000000", "train.schedule=constant", "validation.interval=0"};
  Program program("launch", launched(2, "train", training("run", "cuda", endless)));
  wait_for_lines(program, folder_ / "run" / "log.csv", 3);
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), 0) << program.err();
  const std::int64_t stopped = lines_of(folder_ / "run" / "log.csv") - 1;
  const Ended on = earmark::testing::run("train", {"--resume", (folder_ / "run").string(), "--set",
                                                   "train.steps=" + std::to_string(stopped + 2), "--device", "cuda"});
  EXPECT_EQ(on.code, 0) << on.err;
  EXPECT_EQ(lines_of(folder_ / "run" / "log.csv") - 1, stopped + 2);
}

TEST_F(GpuRankProgramsWhole, AKilledProcessEndsTheOthersAndIsNamed) {
  for (const std::string recorded : {"false", "true"}) {
    const std::vector<std::string> settings{"train.steps=1000000", "validation.interval=0",
                                            "train.cuda_graph=" + recorded};
    const auto processes = programs_as_ranks("train", 2, training("recorded-" + recorded, "cuda", settings));
    wait_for_lines(*processes[0], folder_ / ("recorded-" + recorded) / "log.csv", 4);
    processes[1]->kill(SIGKILL);
    EXPECT_EQ(processes[1]->wait(), -SIGKILL);
    EXPECT_EQ(processes[0]->wait(), 1);
    EXPECT_THAT(processes[0]->err(), HasSubstr("train: rank 1 of 2 has ended"));
  }
}

TEST_F(GpuRankProgramsWhole, AStoppedProcessEndsTheOthersInTime) {
  const auto processes = programs_as_ranks(
      "train", 2, training("run", "cuda", {"train.steps=1000000", "train.rank_timeout_s=8", "validation.interval=0"}));
  wait_for_lines(*processes[0], folder_ / "run" / "log.csv", 3);
  processes[1]->kill(SIGSTOP);
  EXPECT_EQ(processes[0]->wait(), 1);
  EXPECT_THAT(processes[0]->err(), HasSubstr("rank 1 of 2 did not answer rank 0 within 8 s"));
}

TEST_F(GpuRankProgramsWhole, MoreProcessesThanGpusAreRefused) {
  const int gpus = kernels::cuda::device_count();
  const Ended ended = earmark::testing::run(
      "launch", launched(gpus + 1, "train", training("run", "cuda", {str("pairs.count=", 4 * (gpus + 1))})));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("have the same GPU"));
  EXPECT_THAT(ended.err, HasSubstr("each rank of a machine needs one of its own"));
}

/// Each rank fingerprints its share, and searches its share of the index, on a GPU of its own.
TEST_F(GpuRankProgramsWhole, IndexAndSearchGiveWhatOneProcessGives) {
  const search::Composed composed(3, 2.5);
  const std::string query = "query.wav";
  composed.write(query, composed.part(1, 0.5, 1.5));
  std::ofstream(composed.folder / "queries.csv") << "query_id,path\n0," << query << "\n1," << query << "\n";
  const auto index = [&](const std::string& name) { return (composed.folder / name).string(); };
  const auto build = [&](const std::string& name) {
    return std::vector<std::string>{
        "build", index(name), "--model", composed.model().string(), composed.music().string(), "--device", "cuda"};
  };
  const auto list = [&](const std::string& name, const std::string& method) {
    return std::vector<std::string>{index(name), "--list",     (composed.folder / "queries.csv").string(),
                                    "--method",  method,       "--lsh-tables",
                                    "10",        "--lsh-bits", "10",
                                    "--device",  "cuda"};
  };
  const Ended one = earmark::testing::run("index", build("one"));
  ASSERT_EQ(one.code, 0) << one.err;
  const Ended two = earmark::testing::run("launch", launched(2, "index", build("two")));
  ASSERT_EQ(two.code, 0) << two.err;
  for (const char* method : {"exact", "lsh"}) {
    const Ended want = earmark::testing::run("search", list("one", method));
    ASSERT_EQ(want.code, 0) << want.err;
    EXPECT_THAT(want.out, HasSubstr("track-1.wav"));
    for (const char* name : {"one", "two"}) {
      const Ended got = earmark::testing::run("launch", launched(2, "search", list(name, method)));
      ASSERT_EQ(got.code, 0) << got.err;
      std::string out;
      std::istringstream lines(got.out);
      for (std::string line; std::getline(lines, line);) {
        out += line.substr(std::string("[rank 0] ").size()) + "\n";
      }
      EXPECT_EQ(out, want.out) << method << ", " << name;
    }
  }
}

}  // namespace
}  // namespace earmark::train
