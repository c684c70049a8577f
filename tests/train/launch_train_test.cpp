// `launch` and `train` together: a run of two ranks, undisturbed and with one of them killed.
#include <csignal>

#include "tests/train/train_program.h"

namespace earmark::train {
namespace {

class LaunchTrainWhole : public TrainProgram {
 protected:
  /// `launch` with its options and `train` as two ranks, each of which leaves its number in pid-<rank>-<restart>.
  std::vector<std::string> launched(const std::vector<std::string>& options, const std::string& out) const {
    const fs::path programs = fs::read_symlink("/proc/self/exe").parent_path();
    std::vector<std::string> all{"--nproc-per-node", "2"};
    all.insert(all.end(), options.begin(), options.end());
    const std::string script = "echo $$ >\"$1/pid-$RANK-$TORCHELASTIC_RESTART_COUNT\"; shift; exec \"$@\"";
    all.insert(all.end(), {"sh", "-c", script, "rank", folder_.path().string(), (programs / "train").string()});
    const std::vector<std::string> training = arguments(out);
    all.insert(all.end(), training.begin(), training.end());
    all.insert(all.end(), {"--device", "cpu"});
    return all;
  }
};

TEST_F(LaunchTrainWhole, AKilledRankIsStartedAgainWithTheOthersAndTheRunGoesOn) {
  const Ended straight = earmark::testing::run("launch", launched({}, "straight"));
  ASSERT_EQ(straight.code, 0) << straight.err;
  EXPECT_THAT(straight.out, HasSubstr("[rank 0] done: 30 steps"));
  Program program("launch", launched({"--max-restarts", "1"}, "killed"));
  wait_for_lines(program, folder_ / "killed" / "log.csv", 8);
  ASSERT_EQ(::kill(std::stoi(bytes_of(folder_ / "pid-1-0")), SIGKILL), 0);
  EXPECT_EQ(program.wait(), 0) << program.err();
  EXPECT_THAT(program.err(), HasSubstr("launch: rank 1 failed: killed by SIGKILL"));
  EXPECT_THAT(program.err(), HasSubstr("launch: restart 1 of 1\n"));
  EXPECT_EQ(lines_of(folder_ / "killed" / "log.csv"), 31);
  EXPECT_TRUE(bytes_of(folder_ / "straight" / "model.safetensors") ==
              bytes_of(folder_ / "killed" / "model.safetensors"));
}

}  // namespace
}  // namespace earmark::train
