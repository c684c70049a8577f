// The program `train` as a user meets it: started, stopped, killed, resumed, told nonsense.
#include <algorithm>
#include <csignal>

#include "data/wav.h"
#include "kernels/device_choice.h"
#include "nn/model.h"
#include "tests/data/test_sounds.h"
#include "tests/train/train_program.h"

namespace earmark::train {
namespace {

using earmark::testing::encode;
using earmark::testing::melody;
using earmark::testing::truncate_file;
using earmark::testing::write_text;
using ::testing::ContainsRegex;
using ::testing::Not;
using ::testing::StartsWith;

class TrainProgramWhole : public TrainProgram {};

TEST_F(TrainProgramWhole, WholeRunAndResumingAFinishedOne) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("done: 30 steps"));
  EXPECT_THAT(output_, HasSubstr("training on 4 tracks"));
  EXPECT_THAT(output_,
              ContainsRegex("train  100 %  240/240 segments  [0-9.]+/s  step 30  loss [0-9.]+  top-1 [0-9.]+ %"));
  EXPECT_EQ(lines_of(folder_ / "run" / "log.csv"), 31);
  EXPECT_TRUE(fs::exists(folder_ / "run" / "model.safetensors"));
  EXPECT_EQ(run(arguments("run")), 1);
  EXPECT_THAT(output_, HasSubstr("already holds a run"));
  const std::string before = bytes_of(folder_ / "run" / "model.safetensors");
  EXPECT_EQ(run({"--resume", (folder_ / "run").string()}), 0) << output_;
  EXPECT_EQ(bytes_of(folder_ / "run" / "model.safetensors"), before);
}

TEST_F(TrainProgramWhole, AModelIsPassedOnInHalfTheBytes) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  const std::string model = (folder_ / "run/model.safetensors").string();
  const std::string half = (folder_ / "half.safetensors").string();
  ASSERT_EQ(run({"--compact", model, "--out", half}), 0) << output_;
  EXPECT_THAT(output_, ContainsRegex("half.safetensors: [0-9]+ bytes, [0-9]+ before"));
  EXPECT_LT(fs::file_size(half), fs::file_size(model) * 3 / 4);  // a tiny model is headers and vectors
  EXPECT_EQ(nn::load_model(half).options, nn::load_model(model).options);
  EXPECT_EQ(run({"--compact", model}), 2);
  EXPECT_THAT(output_, HasSubstr("--out"));
  EXPECT_EQ(run({"--compact", (folder_ / "none").string(), "--out", half}), 1);
  EXPECT_THAT(output_, HasSubstr("none"));
}

TEST_F(TrainProgramWhole, ModelsAreAveraged) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  const std::string model = (folder_ / "run/model.safetensors").string();
  const std::string mean = (folder_ / "mean.safetensors").string();
  ASSERT_EQ(run({"--average", model, model, "--out", mean}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("the mean of 2 models"));
  EXPECT_EQ(nn::model_hash(nn::load_model(mean)), nn::model_hash(nn::load_model(model)));
  EXPECT_EQ(run({"--average", model, model}), 2);
  EXPECT_THAT(output_, HasSubstr("--average needs --out FILE"));
  EXPECT_EQ(run({"--average", model, "--compact", model, "--out", mean}), 2);
  EXPECT_EQ(run({"--average", model, (folder_ / "none").string(), "--out", mean}), 1);
  EXPECT_THAT(output_, HasSubstr("none"));
}

TEST_F(TrainProgramWhole, AModelIsWhitened) {
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  const std::string model = (folder_ / "run/model.safetensors").string();
  const std::string white = (folder_ / "white.safetensors").string();
  const std::string config = (folder_ / "run/config.yaml").string();
  ASSERT_EQ(run({config, "--whiten", model, "--out", white, "--set", "train.whitening_pairs=8"}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("white.safetensors: whitened by 8 pairs"));
  EXPECT_TRUE(nn::load_model(white).options.whitening);
  EXPECT_EQ(nn::model_hash(nn::with_whitening(nn::load_model(white), false)), nn::model_hash(nn::load_model(model)));
  ASSERT_EQ(run({"--average", white, white, "--out", (folder_ / "mean.safetensors").string()}), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("--whiten estimates its own"));
  EXPECT_EQ(run({"--whiten", model, "--out", white}), 2);
  EXPECT_THAT(output_, HasSubstr("--whiten needs a configuration"));
  EXPECT_EQ(run({config, "--whiten", model}), 2);
  EXPECT_EQ(run({config, "--whiten", model, "--out", white, "--set", "features.frames=40"}), 1);
  EXPECT_THAT(output_, HasSubstr("model.safetensors: is for the features"));
  EXPECT_EQ(run({config, "--whiten", (folder_ / "none").string(), "--out", white}), 1);
  EXPECT_THAT(output_, HasSubstr("none"));
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

TEST_F(TrainProgramWhole, WithoutMusicItSaysWhereItLooked) {
  const std::string empty = (folder_ / "empty").string();
  fs::create_directories(empty);
  EXPECT_EQ(run(arguments("run", {"data.music=[" + empty + "]"})), 1);
  EXPECT_THAT(output_, HasSubstr("train: data.music (" + empty + "): no sound files found\n"));
  write_text(folder_ / "empty/text.mp3", "no music");
  EXPECT_EQ(run(arguments("run", {"data.music=[" + empty + "]"})), 1);
  EXPECT_THAT(output_, HasSubstr("text.mp3: not a sound file"));
  EXPECT_THAT(output_, HasSubstr("train: data.music (" + empty + "): none of 1 files can be used\n"));
  fs::create_directories(folder_ / "fma/fma_small");
  const std::string fma = (folder_ / "fma").string();
  EXPECT_EQ(run(arguments("run", {"data.music=[]", "data.fma=" + fma})), 1);
  EXPECT_THAT(output_, HasSubstr("train: data.fma (" + fma + "): no sound files found\n"));
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

TEST_F(TrainProgramWhole, TwoInOneFolderAreRefused) {
  std::vector<std::string> endless = arguments("run");
  endless.insert(endless.end(), {"--set", "train.steps=1000000"});
  Program program("train", endless);
  wait_for_lines(program, folder_ / "run" / "log.csv", 6);
  EXPECT_EQ(run({"--resume", (folder_ / "run").string()}), 1);
  EXPECT_THAT(output_, HasSubstr("run: another process is training in this folder"));
  EXPECT_EQ(run(arguments("run")), 1);
  EXPECT_THAT(output_, HasSubstr("already holds a run"));
  EXPECT_EQ(run(arguments("beside")), 0) << output_;  // the store of samples is shared
  program.kill(SIGINT);
  EXPECT_EQ(program.wait(), 0) << program.err();
  const std::int64_t steps = lines_of(folder_ / "run" / "log.csv") - 1;
  EXPECT_GE(steps, 5);
  EXPECT_EQ(run({"--resume", (folder_ / "run").string(), "--set", "train.steps=" + std::to_string(steps + 2)}), 0)
      << output_;
  EXPECT_EQ(lines_of(folder_ / "run" / "log.csv"), steps + 3);
}

TEST_F(TrainProgramWhole, ATerminalShowsALineThatIsDrawnAgain) {
  earmark::testing::Terminal terminal;
  Program program("train", arguments("run", {"train.steps=1000000", "train.checkpoint_interval=1000000"}),
                  {.errors = terminal.path()});
  EXPECT_TRUE(program.wait_until([&] { return terminal.written().find("top-1") != std::string::npos; }));
  program.kill(SIGTERM);
  program.wait_until([&] { return terminal.written().empty(); });  // until it has ended
  EXPECT_EQ(program.wait(), 0);
  EXPECT_THAT(terminal.written(), ContainsRegex("\r\x1b\\[Ktrain  \\[=* *\\] 0 %  [0-9]+/8000000 segments  [0-9.]+/s  "
                                                "[0-9:]+ left  step [0-9]+  loss [0-9.]+  top-1 [0-9.]+ %"));
}

// As in fma_metadata/tracks.csv: eight tracks to train on, of which one has no file and one was cut while it was
// downloaded, and one to validate on.
TEST_F(TrainProgramWhole, FmaTellsOfEveryTrackThatIsNotThere) {
  std::string tracks = ",set,set,track,artist,track\n,split,subset,title,name,license\ntrack_id,,,,,\n";
  fs::create_directories(folder_ / "fma/fma_metadata");
  fs::create_directories(folder_ / "fma/fma_small/000");
  const fs::path folder = folder_ / "fma/fma_small/000";
  for (int id = 1; id <= 9; ++id) {
    const std::string digit = std::to_string(id);
    tracks += digit + (id == 9 ? ",validation" : ",training") + ",small,Title " + digit + ",Artist,CC BY\n";
    const fs::path file = folder / ("00000" + digit + ".mp3");
    if (id != 4 && !encode(file, "libmp3lame", melody(3, 44100, static_cast<std::uint64_t>(id)), 44100)) {
      GTEST_SKIP() << "this FFmpeg encodes no MP3";
    }
  }
  truncate_file(folder / "000006.mp3", 2000);
  write_text(folder_ / "fma/fma_metadata/tracks.csv", tracks);
  const std::vector<std::string> fma{"data.music=[]", "data.fma=" + (folder_ / "fma").string(), "data.fma_subset=small",
                                     "data.fma_split=training", "train.steps=1"};
  ASSERT_EQ(run(arguments("run", fma)), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("training on 5 tracks"));
  EXPECT_THAT(output_, HasSubstr("validating on 1 held-out tracks"));
  const std::string skipped = bytes_of(folder_ / "run/skipped.txt");
  EXPECT_THAT(skipped,
              StartsWith("skipped " + (folder / "000004.mp3").string() + ": in tracks.csv, but no such file\nskipped " +
                         (folder / "000006.mp3").string() + ": too short: 0.0"));
  EXPECT_EQ(std::count(skipped.begin(), skipped.end(), '\n'), 2);
  EXPECT_THAT(output_, HasSubstr(skipped.substr(0, skipped.find('\n'))));
  EXPECT_THAT(output_, HasSubstr(skipped.substr(skipped.find('\n'))));
  // What comes later is found, and the list follows.
  encode(folder / "000004.mp3", "libmp3lame", melody(3, 44100, 4), 44100);
  encode(folder / "000006.mp3", "libmp3lame", melody(3, 44100, 6), 44100);
  EXPECT_EQ(run({"--resume", (folder_ / "run").string()}), 0) << output_;
  EXPECT_FALSE(fs::exists(folder_ / "run/skipped.txt"));
}

TEST_F(TrainProgramWhole, OfManyFilesThatAreSkippedTheListHasAll) {
  for (int i = 0; i < 8; ++i) {
    write_text(folder_ / "music" / ("broken" + std::to_string(i) + ".mp3"), "no music");
  }
  ASSERT_EQ(run(arguments("run", {"train.steps=1"})), 0) << output_;
  EXPECT_THAT(output_, HasSubstr("broken4.mp3: "));
  EXPECT_THAT(output_, Not(HasSubstr("broken5.mp3: ")));
  EXPECT_THAT(output_, HasSubstr("... and 3 more skipped (all are listed in skipped.txt)"));
  EXPECT_EQ(lines_of(folder_ / "run/skipped.txt"), 8);
  EXPECT_THAT(bytes_of(folder_ / "run/skipped.txt"), HasSubstr("broken7.mp3: not a sound file"));
}

TEST_F(TrainProgramWhole, NoiseAndRoomResponsesThatAreSkippedAreListed) {
  fs::create_directories(folder_ / "mixed");
  data::write_wav(folder_ / "mixed/good.wav", melody(0.5));
  data::write_wav(folder_ / "mixed/silent.wav", std::vector<float>(8000));
  write_text(folder_ / "mixed/text.mp3", "no sound");
  const std::string folder = (folder_ / "mixed").string();
  ASSERT_EQ(run(arguments("run", {"train.steps=1", "data.noise=" + folder, "data.rirs=" + folder})), 0) << output_;
  const std::string skipped = bytes_of(folder_ / "run/skipped.txt");
  for (const std::string& line :
       {"skipped noise " + folder + "/silent.wav: silent\n", "skipped noise " + folder + "/text.mp3: not a sound file",
        "skipped room response " + folder + "/silent.wav: a silent room response\n",
        "skipped room response " + folder + "/text.mp3: not a sound file"}) {
    EXPECT_THAT(skipped, HasSubstr(line));
    EXPECT_THAT(output_, HasSubstr(line));
  }
  EXPECT_EQ(lines_of(folder_ / "run/skipped.txt"), 4);
  EXPECT_THAT(output_, HasSubstr("2 noises, 3 rooms"));
}

TEST_F(TrainProgramWhole, FullDiskKeepsTheLastCheckpoint) {
  ASSERT_EQ(run(arguments("straight")), 0) << output_;
  const SmallDisk disk(8 << 20U);
  if (!disk.problem().empty()) {
    GTEST_SKIP() << disk.problem();
  }
  const std::string config = (folder_ / "tiny.yaml").string();
  const std::string full = (disk / "run").string();
  // What runs out is a file of a checkpoint, of the first one or of a later one, as the space left has it.
  for (const std::uint64_t left : {0, 12288, 65536}) {
    disk.fill(left);
    const bool begun = fs::exists(disk / "run" / "config.yaml");
    EXPECT_EQ(begun ? run({"--resume", full}) : run({config, "--out", full}), 1) << left;
    EXPECT_THAT(output_, HasSubstr("No space left on device"));
    EXPECT_FALSE(fs::exists(disk / "run" / "model.safetensors"));
    disk.free_space();
  }
  EXPECT_EQ(run({"--resume", full}), 0) << output_;
  EXPECT_EQ(bytes_of(disk / "run" / "model.safetensors"), bytes_of(folder_ / "straight" / "model.safetensors"));
}

TEST_F(TrainProgramWhole, FilesThatMayNotGrowKeepTheLastCheckpoint) {
  ASSERT_EQ(run(arguments("straight")), 0) << output_;
  const std::string limited = (folder_ / "limited").string();
  EXPECT_EQ(run(arguments("limited"), {.largest_file = 3000}), 1);
  EXPECT_THAT(output_, HasSubstr("File too large"));
  EXPECT_FALSE(fs::exists(folder_ / "limited" / "model.safetensors"));
  EXPECT_EQ(run({"--resume", limited}), 0) << output_;
  EXPECT_EQ(bytes_of(folder_ / "limited" / "model.safetensors"), bytes_of(folder_ / "straight" / "model.safetensors"));
}

TEST_F(TrainProgramWhole, ReadOnlyFoldersAreRefusedBeforeTheWork) {
  const std::string reason = earmark::testing::reason_against_nobody("train");
  if (!reason.empty()) {
    GTEST_SKIP() << reason;
  }
  ASSERT_EQ(run(arguments("run")), 0) << output_;
  const std::string before = bytes_of(folder_ / "run" / "config.yaml");
  fs::permissions(folder_.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  const Surroundings nobody{.as_nobody = true};
  EXPECT_EQ(run(arguments("new"), nobody), 1);
  EXPECT_THAT(output_, HasSubstr("new: cannot be written: Permission denied"));
  EXPECT_THAT(output_, Not(HasSubstr("training on")));
  EXPECT_EQ(run({"--resume", (folder_ / "run").string(), "--set", "train.steps=40"}, nobody), 1);
  EXPECT_THAT(output_, HasSubstr("run/lock: Permission denied"));
  EXPECT_EQ(bytes_of(folder_ / "run" / "config.yaml"), before);
}

TEST_F(TrainProgramWhole, GpusOfABuildWithoutCudaAreRefused) {
  if (has_cuda_backend()) {
    GTEST_SKIP() << "this build has CUDA";
  }
  std::vector<std::string> all = arguments("run");
  all.insert(all.end(), {"--device", "cuda"});
  EXPECT_EQ(run(all), 1);
  EXPECT_EQ(output_, "train: device 'cuda': this build has no CUDA backend; use --device cpu\n");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace earmark::train
