// `launch` and `train` together: a run of two ranks, undisturbed and with one of them killed.
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <set>
#include <system_error>
#include <utility>

#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/train/launched_train.h"

namespace earmark::train {
namespace {

class LaunchTrainWhole : public LaunchedTrain {};

const std::vector<std::string> kTwo{"--nproc-per-node", "2"};

TEST_F(LaunchTrainWhole, AKilledRankIsStartedAgainWithTheOthersAndTheRunGoesOn) {
  const Ended straight = earmark::testing::run("launch", launched(kTwo, "straight"));
  ASSERT_EQ(straight.code, 0) << straight.err;
  EXPECT_THAT(straight.out, HasSubstr("[rank 0] done: 30 steps"));
  Program program("launch", launched({"--nproc-per-node", "2", "--max-restarts", "1"}, "killed"));
  wait_for_lines(program, folder_ / "killed" / "log.csv", 8);
  ASSERT_EQ(::kill(process_of(1, 0), SIGKILL), 0);
  EXPECT_EQ(program.wait(), 0) << program.err();
  EXPECT_THAT(program.err(), HasSubstr("launch: rank 1 failed: killed by SIGKILL"));
  EXPECT_THAT(program.err(), HasSubstr("launch: restart 1 of 1\n"));
  expect_same_runs("straight", "killed");
}

TEST_F(LaunchTrainWhole, ARankThatHangsIsKilledAndTheRunGoesOn) {
  const Ended straight = earmark::testing::run("launch", launched(kTwo, "straight"));
  ASSERT_EQ(straight.code, 0) << straight.err;
  Program program("launch", launched({"--nproc-per-node", "2", "--max-restarts", "5", "--grace", "0.5"}, "hung",
                                     {"train.rank_timeout_s=5"}));
  wait_for_lines(program, folder_ / "hung" / "log.csv", 8);
  const pid_t hangs = process_of(1, 0);
  const std::string problem = earmark::testing::hang(hangs);
  if (!problem.empty()) {
    GTEST_SKIP() << problem;
  }
  int status = 0;
  EXPECT_EQ(::waitpid(hangs, &status, __WALL), hangs);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_EQ(program.wait(), 0) << program.err();
  EXPECT_THAT(program.err(), HasSubstr("rank 1 of 2 "));
  EXPECT_THAT(program.err(), HasSubstr("launch: rank 0 failed: exit code 1; the other 1 is told to end"));
  EXPECT_THAT(program.err(), HasSubstr("launch: rank 1 has not ended within 0.5 s of SIGTERM: killed"));
  expect_same_runs("straight", "hung");
}

/// Moments of a run in the folder `run`, drawn and counted in what it has done by then: a rank has just been started;
/// one to three more steps are in the log; a checkpoint, or a best model, is being written.
class KillMoments {
 public:
  explicit KillMoments(fs::path run) : run_(std::move(run)) {}

  /// Waits for the next one; false where the launcher has ended by then.
  bool wait(const Program& program, RandomStream& random) {
    const std::int64_t before = steps();
    const auto kind = static_cast<std::int64_t>(random.below(6));
    described_ = kind == 0 ? "its start" : kind < 4 ? str(kind, " more steps") : kind == 4 ? "a checkpoint" : "a model";
    if (kind == 0) {
      return true;
    }
    if (kind < 4) {
      return program.wait_until([&] { return steps() >= before + kind; });
    }
    const fs::path folder = kind == 4 ? run_ / "checkpoints" : run_;
    const std::set<std::string> left_behind = unfinished(folder);  // by those that were killed
    const auto begun = [&] {
      const std::set<std::string> now = unfinished(folder);
      return std::ranges::any_of(now, [&](const std::string& name) { return !left_behind.contains(name); });
    };
    return program.wait_until([&] { return begun() || steps() >= before + 7; });  // it may be too short to be seen
  }
  const std::string& described() const { return described_; }
  std::int64_t steps() const { return lines_of(run_ / "log.csv") - 1; }

 private:
  /// Files and folders that are being written.
  static std::set<std::string> unfinished(const fs::path& folder) {
    std::set<std::string> names;
    std::error_code gone;
    for (fs::directory_iterator at(folder, gone), end; !gone && at != end; at.increment(gone)) {
      const std::string name = at->path().filename().string();
      if (name.starts_with(".")) {
        names.insert(name);
      }
    }
    return names;
  }

  fs::path run_;
  std::string described_;
};

TEST_F(LaunchTrainWhole, RanksKilledAtTwentyMomentsTrainWhatOneRunDoes) {
  constexpr int kKills = 20;
  constexpr std::uint64_t kSeed = 23;
  // More steps than the kills are likely to need, with a checkpoint after every other.
  const std::vector<std::string> often{"train.steps=60", "train.checkpoint_interval=2", "validation.interval=8"};
  const Ended straight = earmark::testing::run("launch", launched(kTwo, "straight", often));
  ASSERT_EQ(straight.code, 0) << straight.err;
  RandomStream random(kSeed);
  std::string moments = str("seed ", kSeed, ":");
  int kills = 0;
  for (int run = 0; kills < kKills; ++run) {  // another run only where the first was through before the last kill
    fs::remove_all(folder_ / "pcm");
    const std::string name = str("killed-", run);
    for (int restart = 0; restart <= kKills; ++restart) {
      for (const int rank : {0, 1}) {
        fs::remove(folder_ / str("pid-", rank, "-", restart));
      }
    }
    Program program("launch", launched({"--nproc-per-node", "2", "--max-restarts", str(kKills)}, name, often));
    KillMoments moment(folder_ / name);
    bool goes_on = true;
    for (int restart = 0; goes_on && kills < kKills; ++restart) {
      const int rank = static_cast<int>(random.below(2));
      goes_on = program.wait_until([&] { return process_of(0, restart) != 0 && process_of(1, restart) != 0; }) &&
                moment.wait(program, random) && ::kill(process_of(rank, restart), SIGKILL) == 0 &&
                program.wait_until(
                    [&] { return program.err().find(str("restart ", restart + 1, " of")) != std::string::npos; });
      kills += goes_on ? 1 : 0;
      moments += goes_on ? str("\n  rank ", rank, ", step ", moment.steps(), ": ", moment.described()) : "";
    }
    EXPECT_EQ(program.wait(), 0) << moments << "\n" << program.err();
    expect_same_runs("straight", name);
  }
  std::cout << moments << "\n";
}

/// Where there are none, nothing is tested.
TEST_F(LaunchTrainWhole, TorchrunAndMpirunStartRanksToo) {
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "train";
  std::string command;
  for (const std::string& argument : arguments("straight")) {
    command += " '" + argument + "'";
  }
  ASSERT_EQ(std::system((program.string() + command + " >/dev/null 2>&1").c_str()), 0);
  int launchers = 0;
  for (const std::string launcher :
       {"torchrun --no-python --nproc-per-node 2 ", "mpirun --allow-run-as-root --oversubscribe -np 2 "}) {
    const std::string name = launcher.substr(0, launcher.find(' '));
    if (std::system(("command -v " + name + " >/dev/null").c_str()) != 0) {
      continue;
    }
    ++launchers;
    command.clear();
    for (const std::string& argument : arguments(name)) {
      command += " '" + argument + "'";
    }
    const fs::path said = folder_ / (name + ".said");
    const std::string all = launcher + program.string() + command + " --device cpu >" + said.string() + " 2>&1";
    ASSERT_EQ(std::system(all.c_str()), 0) << bytes_of(said);
    EXPECT_EQ(lines_of(folder_ / name / "log.csv"), 31) << "one of them writes";
    EXPECT_EQ(bytes_of(folder_ / name / "skipped.txt"), bytes_of(folder_ / "straight" / "skipped.txt"));
  }
  if (launchers == 0) {
    GTEST_SKIP() << "there is neither torchrun nor mpirun here";
  }
}

}  // namespace
}  // namespace earmark::train
