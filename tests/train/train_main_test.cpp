// The program `train` as a user meets it: started, stopped, killed, resumed, told nonsense.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "data/composer.h"
#include "tests/test_support.h"

namespace earmark::train {
namespace {

namespace fs = std::filesystem;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::int64_t lines_of(const fs::path& path) {
  const std::string text = bytes_of(path);
  return std::count(text.begin(), text.end(), '\n');
}

/// A started program, its output going to a file.
class Program {
 public:
  Program(const std::vector<std::string>& arguments, const fs::path& output) : output_(output) {
    const std::string program = std::string(EARMARK_BINARY_DIR) + "/bin/train";
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int file = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(file, 1);
      ::dup2(file, 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
  }

  void kill(int signal) const { ::kill(pid_, signal); }
  /// The exit code, or minus the signal that ended it.
  int wait() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  /// Waits until the log has that many lines, or the program has ended.
  void wait_for_lines(const fs::path& log, std::int64_t lines) const {
    siginfo_t info{};
    while (lines_of(log) < lines &&
           (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  std::string output() const { return bytes_of(output_); }

 private:
  fs::path output_;
  pid_t pid_ = -1;
};

constexpr const char* kConfig = R"(
train: {steps: 30, learning_rate: 1.0e-3, schedule: cosine, checkpoint_interval: 4}
data:
  music: [music]
  colored_noise: [pink]
  rooms: 2
  room_rt60_s: [0.15, 0.3]
  store: pcm
features: {mel_bands: 16, frames: 24, normalization: max_relative}
encoder: {width: 2, embedding: 16, head_hidden: 4}
pairs: {count: 4, draws: uniform_time}
validation: {tracks: 1, seconds: 2, queries: 8, interval: 10}
)";

class TrainProgramWhole : public ::testing::Test {
 protected:
  TrainProgramWhole() {
    data::compose_folder(folder_ / "music", {.tracks = 5, .seconds = 3, .seed = 1});
    std::ofstream(folder_ / "tiny.yaml") << kConfig;
  }

  int run(const std::vector<std::string>& arguments) {
    const Program program(arguments, folder_ / "output");
    const int code = program.wait();
    output_ = program.output();
    return code;
  }
  std::vector<std::string> arguments(const std::string& out) {
    return {(folder_ / "tiny.yaml").string(), "--out", (folder_ / out).string()};
  }

  TemporaryFolder folder_;
  std::string output_;
};

TEST_F(TrainProgramWhole, WholeRunAndResumingAFinishedOne) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("done: 30 steps"));
  EXPECT_THAT(output_, HasSubstr("training on 4 tracks"));
  EXPECT_EQ(lines_of(folder_ / "run" / "log.csv"), 31);
  EXPECT_TRUE(fs::exists(folder_ / "run" / "model.safetensors"));
  EXPECT_EQ(run(arguments("run")), 1);
  EXPECT_THAT(output_, HasSubstr("already holds a run"));
  const std::string before = bytes_of(folder_ / "run" / "model.safetensors");
  EXPECT_EQ(run({"--resume", (folder_ / "run").string()}), 0) << output_;
  EXPECT_EQ(bytes_of(folder_ / "run" / "model.safetensors"), before);
}

TEST_F(TrainProgramWhole, KilledAtAnyMomentItLosesAtMostTheInterval) {
  ASSERT_EQ(run(arguments("straight")), 0) << output_;
  // Killed twice at moments that nothing prepares for: at once after a line of the log.
  {
    const Program program(arguments("killed"), folder_ / "output");
    program.wait_for_lines(folder_ / "killed" / "log.csv", 8);
    program.kill(SIGKILL);
    program.wait();
  }
  {
    const Program program({"--resume", (folder_ / "killed").string()}, folder_ / "output");
    program.wait_for_lines(folder_ / "killed" / "log.csv", 19);
    program.kill(SIGKILL);
    program.wait();
  }
  const std::int64_t before = lines_of(folder_ / "killed" / "log.csv") - 1;
  ASSERT_EQ(run({"--resume", (folder_ / "killed").string(), "--dry-run"}), 0) << output_;
  std::int64_t checkpoint = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "killed" / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    checkpoint =
        name.starts_with("step-") ? std::max<std::int64_t>(checkpoint, std::stoll(name.substr(5))) : checkpoint;
  }
  EXPECT_GE(checkpoint, before - 4);
  EXPECT_EQ(run({"--resume", (folder_ / "killed").string()}), 0) << output_;
  EXPECT_EQ(bytes_of(folder_ / "straight" / "model.safetensors"), bytes_of(folder_ / "killed" / "model.safetensors"));
}

TEST_F(TrainProgramWhole, StopsCleanlyOnTermAndInterrupt) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string name = "run" + std::to_string(signal);
    std::vector<std::string> endless = arguments(name);
    endless.insert(endless.end(), {"--set", "train.steps=1000000", "--set", "train.checkpoint_interval=1000000"});
    const Program program(endless, folder_ / "output");
    program.wait_for_lines(folder_ / name / "log.csv", 3);
    program.kill(signal);
    EXPECT_EQ(program.wait(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("go on with: train --resume"));
    EXPECT_TRUE(fs::exists(folder_ / name / "checkpoints"));
    EXPECT_FALSE(fs::exists(folder_ / name / "model.safetensors"));
  }
}

TEST_F(TrainProgramWhole, SaysWhatIsWrong) {
  EXPECT_EQ(run({"--nonsense"}), 2);
  EXPECT_EQ(run({}), 2);
  EXPECT_THAT(output_, HasSubstr("configuration"));
  EXPECT_EQ(run({(folder_ / "none.yaml").string()}), 1);
  EXPECT_THAT(output_, HasSubstr("none.yaml"));
  std::vector<std::string> misspelt = arguments("run");
  misspelt.insert(misspelt.end(), {"--set", "train.stesp=3"});
  EXPECT_EQ(run(misspelt), 1);
  EXPECT_THAT(output_, HasSubstr("nearest known key is train.steps"));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  EXPECT_EQ(run({"--resume", (folder_ / "none").string()}), 1);
  EXPECT_THAT(output_, HasSubstr("not the folder of a run"));
  std::vector<std::string> no_music = arguments("run");
  no_music.insert(no_music.end(), {"--set", "data.music=[" + (folder_ / "nowhere").string() + "]"});
  EXPECT_EQ(run(no_music), 1);
  EXPECT_THAT(output_, HasSubstr("nowhere"));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(TrainProgramWhole, ResumingWithAnotherConfigurationIsRefused) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  const std::string config = (folder_ / "tiny.yaml").string();
  EXPECT_EQ(run({config, "--resume", (folder_ / "run").string()}), 0) << output_;
  std::ofstream(folder_ / "tiny.yaml", std::ios::app) << "\n# a comment\n";
  EXPECT_EQ(run({config, "--resume", (folder_ / "run").string()}), 0) << output_;
  std::string changed = kConfig;
  changed.replace(changed.find("steps: 30"), 9, "steps: 31");
  std::ofstream(folder_ / "tiny.yaml") << changed;
  EXPECT_EQ(run({config, "--resume", (folder_ / "run").string()}), 1);
  EXPECT_THAT(output_, HasSubstr("steps: 30"));
  EXPECT_EQ(run({"--resume", (folder_ / "run").string(), "--set", "train.steps=32"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("done: 32 steps"));
}

TEST_F(TrainProgramWhole, ListsItsConfiguration) {
  EXPECT_EQ(run({"--help-config"}), 0);
  EXPECT_THAT(output_, HasSubstr("train.learning_rate: "));
  EXPECT_EQ(run({(folder_ / "tiny.yaml").string(), "--dry-run"}), 0);
  EXPECT_THAT(output_, HasSubstr("width: 2"));
}

}  // namespace
}  // namespace earmark::train
