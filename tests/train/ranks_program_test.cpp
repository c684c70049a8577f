// The program `train` as several processes, started as a launcher starts them.
#include <sys/stat.h>

#include <csignal>
#include <memory>

#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/ranks.h"
#include "tests/train/example_run.h"
#include "tests/train/train_program.h"

namespace earmark::train {
namespace {

using earmark::testing::EnvironmentScope;

class RanksProgramWhole : public TrainProgram {
 protected:
  using Processes = std::vector<std::unique_ptr<Program>>;

  /// One process for each rank, told by its environment.
  static Processes start(int size, const std::vector<std::string>& arguments) {
    const std::string port = std::to_string(free_port());
    const std::string count = std::to_string(size);
    const EnvironmentScope sizes[] = {{"WORLD_SIZE", count.c_str()},
                                      {"LOCAL_WORLD_SIZE", count.c_str()},
                                      {"MASTER_ADDR", "127.0.0.1"},
                                      {"MASTER_PORT", port.c_str()}};
    Processes processes;
    for (int rank = 0; rank < size; ++rank) {
      const EnvironmentScope own[] = {{"RANK", std::to_string(rank).c_str()},
                                      {"LOCAL_RANK", std::to_string(rank).c_str()}};
      processes.push_back(std::make_unique<Program>("train", arguments));
    }
    return processes;
  }
  static void expect_all_end_well(const Processes& processes) {
    for (const std::unique_ptr<Program>& process : processes) {
      EXPECT_EQ(process->wait(), 0) << process->err();
    }
  }
};

TEST_F(RanksProgramWhole, TrainsStopsAndGoesOn) {
  const std::vector<std::string> endless{"train.steps=1000000", "train.schedule=constant"};
  {
    const Processes processes = start(2, arguments("run", endless));
    wait_for_lines(*processes[0], folder_ / "run" / "log.csv", 8);
    processes[1]->kill(SIGTERM);
    expect_all_end_well(processes);
    EXPECT_THAT(processes[0]->out(), HasSubstr("go on with: train --resume"));
    EXPECT_EQ(processes[1]->out() + processes[1]->err(), "") << "rank 0 speaks for all";
  }
  const std::int64_t stopped = lines_of(folder_ / "run" / "log.csv") - 1;
  const std::string steps = "train.steps=" + std::to_string(stopped + 3);
  const std::vector<std::string> on{"--resume", (folder_ / "run").string(), "--set", steps};
  expect_all_end_well(start(4, on));
  EXPECT_EQ(lines_of(folder_ / "run" / "log.csv") - 1, stopped + 3);
  ASSERT_EQ(run(arguments("alone", {steps, endless[1]})), 0) << output_;
  EXPECT_EQ(lines_of(folder_ / "alone" / "log.csv") - 1, stopped + 3);
}

TEST_F(RanksProgramWhole, WithReductionGroupsAnyNumberOfProcessesLeavesTheSameBytes) {
  const std::vector<std::string> settings{"train.reduction_groups=4",
                                          "pairs.count=64",
                                          "train.steps=50",
                                          "train.schedule=constant",
                                          "train.learning_rate=1.0e-4",
                                          "pairs.reverb_probability=0",
                                          "pairs.both_probability=0",
                                          "train.checkpoint_interval=50"};
  for (const int size : {1, 2, 4}) {
    expect_all_end_well(start(size, arguments(std::to_string(size), settings)));
  }
  std::vector<std::string> half = settings;
  half.emplace_back("train.steps=20");
  expect_all_end_well(start(4, arguments("parts", half)));
  expect_all_end_well(start(1, {"--resume", (folder_ / "parts").string(), "--set", "train.steps=40"}));
  expect_all_end_well(start(2, {"--resume", (folder_ / "parts").string(), "--set", "train.steps=50"}));
  EXPECT_EQ(lines_of(folder_ / "1" / "log.csv"), 51);
  const fs::path last = fs::path("checkpoints") / "step-00000050";
  for (const char* run : {"2", "4", "parts"}) {
    EXPECT_EQ(timeless(folder_ / run / "log.csv"), timeless(folder_ / "1" / "log.csv")) << run;
    for (const fs::path& file :
         {fs::path("model.safetensors"), last / "model.safetensors", last / "optimizer.safetensors"}) {
      EXPECT_TRUE(written(folder_ / run / file) == written(folder_ / "1" / file)) << file << " of " << run;
    }
  }
}

TEST_F(RanksProgramWhole, AKilledProcessEndsTheOthersAndIsNamed) {
  const Processes processes = start(3, arguments("run", {"train.steps=1000000", "pairs.count=6"}));
  wait_for_lines(*processes[0], folder_ / "run" / "log.csv", 3);
  processes[2]->kill(SIGKILL);
  EXPECT_EQ(processes[2]->wait(), -SIGKILL);
  EXPECT_EQ(processes[0]->wait(), 1);
  EXPECT_EQ(processes[1]->wait(), 1);
  EXPECT_THAT(processes[0]->err() + processes[1]->err(), HasSubstr("train: rank 2 of 3 has ended"));
}

TEST_F(RanksProgramWhole, AStoppedProcessEndsTheOthersInTime) {
  const Processes processes = start(2, arguments("run", {"train.steps=1000000", "train.rank_timeout_s=1.5"}));
  wait_for_lines(*processes[0], folder_ / "run" / "log.csv", 3);
  processes[1]->kill(SIGSTOP);
  EXPECT_EQ(processes[0]->wait(), 1);
  EXPECT_THAT(processes[0]->err(), HasSubstr("rank 1 of 2 did not answer rank 0 within 1.5 s"));
}

/// Only its main thread hangs, wherever it is just then; its other threads go on, and answer the other processes.
TEST_F(RanksProgramWhole, AProcessThatHangsEndsTheOthersInTime) {
  RandomStream random(31);
  for (const int rank : {1, 0, 1}) {
    const std::string name = "run" + std::to_string(random.below(1000000));
    const std::int64_t steps = 1 + static_cast<std::int64_t>(random.below(6));
    const Processes processes = start(2, arguments(name, {"train.steps=1000000", "train.rank_timeout_s=4",
                                                          "train.checkpoint_interval=1", "validation.interval=2"}));
    wait_for_lines(*processes[0], folder_ / name / "log.csv", steps);
    const std::string problem = earmark::testing::hang(processes[static_cast<std::size_t>(rank)]->process());
    if (!problem.empty()) {
      GTEST_SKIP() << problem;
    }
    Program& other = *processes[static_cast<std::size_t>(1 - rank)];
    EXPECT_EQ(other.wait(), 1);
    EXPECT_THAT(other.err(),
                ::testing::AnyOf(HasSubstr(str("rank ", rank, " of 2 did not answer rank ", 1 - rank, " within 4 s")),
                                 HasSubstr(str("rank ", rank, " of 2 answers, but has got nowhere for 4 s"))));
  }
}

/// A file that cannot be read to its end, as on a disk that is gone. Rank 0 decodes; the others wait for it.
TEST_F(RanksProgramWhole, MusicThatCannotBeReadEndsTheOthersInTime) {
  const fs::path pipe = folder_ / "pipe.wav";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::ofstream(folder_ / "list.txt") << "music/track-000.wav\npipe.wav\n";
  const Processes processes =
      start(2, arguments("run", {"data.music=[" + (folder_ / "list.txt").string() + "]", "train.rank_timeout_s=4"}));
  EXPECT_EQ(processes[1]->wait(), 1);
  EXPECT_THAT(processes[1]->err(), HasSubstr("rank 0 of 2 answers, but has got nowhere for 4 s: it hangs"));
}

TEST_F(RanksProgramWhole, ProcessesThatWereToldDifferentThingsSaySo) {
  const std::string port = std::to_string(free_port());
  const EnvironmentScope place[] = {
      {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", port.c_str()}};
  Processes processes;
  for (const char* rank : {"0", "1"}) {
    const EnvironmentScope own[] = {{"RANK", rank}, {"LOCAL_RANK", rank}};
    processes.push_back(std::make_unique<Program>("train", arguments("run", {std::string("train.seed=7") + rank})));
  }
  EXPECT_EQ(processes[0]->wait(), 1);
  EXPECT_EQ(processes[1]->wait(), 1);
  EXPECT_THAT(processes[1]->err(), HasSubstr("rank 1 was given another configuration than rank 0"));
  EXPECT_THAT(processes[1]->err(), HasSubstr("70"));
}

}  // namespace
}  // namespace earmark::train
