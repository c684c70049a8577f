// What a training run survives: sudden ends at any moment, being stopped, weights that are no numbers. Whatever
// happened, resumed it ends with the bytes of a run to which nothing happened.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <map>
#include <thread>

#include "kernels/random.h"
#include "nn/safetensors.h"
#include "tests/train/event_file.h"
#include "tests/train/example_run.h"
#include "tests/train/train_program.h"

namespace earmark::train {
namespace {

class TrainSurvivalWhole : public TrainProgram {
 protected:
  /// Goes on with the run `name`, or begins it where it has not got as far as a folder.
  std::vector<std::string> on_with(const std::string& name, const std::vector<std::string>& overrides) const {
    return fs::exists(folder_ / name / "config.yaml") ? resuming(name) : arguments(name, overrides);
  }
  std::vector<std::string> resuming(const std::string& name) const { return {"--resume", (folder_ / name).string()}; }
  std::int64_t logged_steps(const std::string& name) const { return lines_of(folder_ / name / "log.csv") - 1; }
  fs::path newest_checkpoint(const std::string& name) const {
    fs::path newest;
    if (fs::exists(folder_ / name / "checkpoints")) {
      for (const auto& entry : fs::directory_iterator(folder_ / name / "checkpoints")) {
        newest = entry.path().filename().string().starts_with("step-") ? std::max(newest, entry.path()) : newest;
      }
    }
    return newest;
  }
  std::int64_t saved_steps(const std::string& name) const {
    const fs::path newest = newest_checkpoint(name);
    return newest.empty() ? 0 : std::stoll(newest.filename().string().substr(5));
  }
  void expect_same_runs(const std::string& a, const std::string& b) const {
    for (const fs::path name : {"model.safetensors", "best.safetensors"}) {
      EXPECT_TRUE(bytes_of(folder_ / a / name) == bytes_of(folder_ / b / name)) << name;
    }
    EXPECT_TRUE(bytes_of(newest_checkpoint(a) / "optimizer.safetensors") ==
                bytes_of(newest_checkpoint(b) / "optimizer.safetensors"));
    EXPECT_EQ(timeless(folder_ / a / "log.csv"), timeless(folder_ / b / "log.csv"));
  }
};

TEST_F(TrainSurvivalWhole, KilledAtAnyMomentItLosesAtMostTheInterval) {
  // A checkpoint after every step and a best model after every second: nearly every kill hits a write.
  const std::vector<std::string> often{"train.checkpoint_interval=1", "validation.interval=2"};
  ASSERT_EQ(run(arguments("straight", often)), 0) << output_;
  fs::remove_all(folder_ / "pcm");
  RandomStream random(7);
  const auto wait_at_most = [&](double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(random.uniform(0, seconds)));
  };
  int killed = 0;
  for (int round = 0; round < 16; ++round) {
    const std::int64_t before = saved_steps("killed");
    Program program("train", on_with("killed", often));
    if (round < 5) {  // while the music is decoded, or what follows
      program.wait_until([&] { return fs::exists(folder_ / "pcm"); });
      wait_at_most(0.03);
    } else {
      program.wait_until([&] { return saved_steps("killed") > before; });
      wait_at_most(0.04);
    }
    program.kill(SIGKILL);
    killed += program.wait() == -SIGKILL ? 1 : 0;
    EXPECT_GE(saved_steps("killed"), logged_steps("killed") - 1);
    if (round < 4) {
      fs::remove(folder_ / "pcm" / "index.jsonl");
    }
  }
  EXPECT_GE(killed, 10);
  EXPECT_GE(saved_steps("killed"), 10);
  EXPECT_EQ(run(resuming("killed")), 0) << output_;
  expect_same_runs("straight", "killed");
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "killed")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
}

TEST_F(TrainSurvivalWhole, KilledBetweenCheckpointsItLosesAtMostTheInterval) {
  ASSERT_EQ(run(arguments("straight")), 0) << output_;
  for (const std::int64_t lines : {8, 19}) {
    Program program("train", on_with("killed", {}));
    wait_for_lines(program, folder_ / "killed" / "log.csv", lines);
    program.kill(SIGKILL);
    program.wait();
    EXPECT_GE(saved_steps("killed"), logged_steps("killed") - 4);
  }
  EXPECT_EQ(run(resuming("killed")), 0) << output_;
  expect_same_runs("straight", "killed");
}

TEST_F(TrainSurvivalWhole, StoppedItSavesItsLastStepAndGoesOnAsIfNothingHadHappened) {
  const std::vector<std::string> endless{"train.steps=1000000", "train.checkpoint_interval=1000000",
                                         "train.schedule=constant"};
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string name = "run" + std::to_string(signal);
    {
      Program program("train", arguments(name, endless));
      wait_for_lines(program, folder_ / name / "log.csv", 3);
      program.kill(signal);
      EXPECT_EQ(program.wait(), 0) << program.err();
      EXPECT_THAT(program.out(), HasSubstr("go on with: train --resume"));
      EXPECT_THAT(program.out(), HasSubstr("stopped after step " + std::to_string(logged_steps(name)) + ";"));
    }
    EXPECT_EQ(saved_steps(name), logged_steps(name));
    EXPECT_FALSE(fs::exists(folder_ / name / "model.safetensors"));
    const std::string to_the_end = "train.steps=" + std::to_string(logged_steps(name) + 5);
    std::vector<std::string> resumed = resuming(name);
    resumed.insert(resumed.end(), {"--set", to_the_end});
    EXPECT_EQ(run(resumed), 0) << output_;
    const std::string straight = "straight" + std::to_string(signal);
    EXPECT_EQ(run(arguments(straight, {endless[1], endless[2], to_the_end})), 0) << output_;
    expect_same_runs(straight, name);
  }
}

TEST_F(TrainSurvivalWhole, TensorBoardSeesEveryStepOnce) {
  const std::vector<std::string> often{"train.log_interval=2", "train.schedule=constant"};
  {
    Program program("train", arguments("run", often));
    wait_for_lines(program, folder_ / "run" / "log.csv", 7);  // beyond the checkpoint of step 4
    program.kill(SIGKILL);
    program.wait();
  }
  ASSERT_LT(saved_steps("run"), 30);
  ASSERT_EQ(run(resuming("run")), 0) << output_;
  std::map<std::string, std::vector<std::int64_t>> steps;
  for (const Scalar& scalar : read_event_file(folder_ / "run" / "events.out.tfevents.0000000001.earmark")) {
    EXPECT_TRUE(std::isfinite(scalar.value)) << scalar.tag << " of step " << scalar.step;
    steps[scalar.tag].push_back(scalar.step);
  }
  std::vector<std::int64_t> even;
  for (std::int64_t step = 2; step <= 30; step += 2) {
    even.push_back(step);
  }
  const std::vector<std::int64_t> validated{10, 20, 30};
  using ::testing::Pair;
  EXPECT_THAT(steps, ::testing::ElementsAre(Pair("train/grad_norm", even), Pair("train/learning_rate", even),
                                            Pair("train/loss", even), Pair("train/segments_per_s", even),
                                            Pair("train/top1", even), Pair("validation/segment_hit_rate", validated),
                                            Pair("validation/track_hit_rate", validated)));
}

TEST_F(TrainSurvivalWhole, WeightsThatAreNoNumbersEndTheRunAndNameTheMusic) {
  ASSERT_EQ(run(arguments("run", {"train.steps=4"})), 0) << output_;
  const fs::path weights = newest_checkpoint("run") / "model.safetensors";
  nn::SafetensorsFile file = nn::read_safetensors(weights);
  file.tensors.at(0).second.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  nn::write_safetensors(weights, file);
  std::vector<std::string> resumed = resuming("run");
  resumed.insert(resumed.end(), {"--set", "train.steps=6"});
  EXPECT_EQ(run(resumed), 1);
  const std::string batch = (folder_ / "run/bad-batch.txt").string();
  EXPECT_THAT(output_, HasSubstr("train: step 5: the loss is not finite; nothing was updated. The batch's files are "
                                 "listed in " +
                                 batch + " (the first: " + (folder_ / "music/track-000").string()));
  EXPECT_THAT(output_, HasSubstr("Last good checkpoint: " + (folder_ / "run/checkpoints/step-00000004").string()));
  EXPECT_EQ(lines_of(batch), 4);
}

}  // namespace
}  // namespace earmark::train
