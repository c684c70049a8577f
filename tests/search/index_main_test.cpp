// The program `index` as a user meets it: a whole life of an index, misuse, damage, full disks, sudden ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "kernels/file_lock.h"
#include "kernels/random.h"
#include "tests/program.h"
#include "tests/search/composed.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using earmark::testing::Ended;
using earmark::testing::Program;
using earmark::testing::SmallDisk;
using earmark::testing::Surroundings;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr int kTracks = 4;

class IndexProgramWhole : public ::testing::Test {
 protected:
  Ended run(std::vector<std::string> arguments, const Surroundings& surroundings = {}) const {
    return earmark::testing::run("index", with_one_thread(std::move(arguments)), surroundings);
  }
  static std::vector<std::string> with_one_thread(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--threads", "1"});
    return arguments;
  }
  std::vector<std::string> build_arguments(const fs::path& index, const std::vector<fs::path>& paths) const {
    std::vector<std::string> arguments = {"build", index.string(), "--model", composed_.model().string()};
    for (const fs::path& path : paths) {
      arguments.push_back(path.string());
    }
    return arguments;
  }
  Ended build(const fs::path& index, const std::vector<fs::path>& paths) const {
    return run(build_arguments(index, paths));
  }
  fs::path track(int i) const { return composed_.music() / Composed::name(i); }
  /// Paths as `list --json` has them.
  std::vector<std::string> listed(const fs::path& index) const {
    const Ended list = run({"list", index.string(), "--json"});
    EXPECT_EQ(list.code, 0) << list.err;
    std::vector<std::string> paths;
    std::istringstream lines(list.out);
    for (std::string line; std::getline(lines, line);) {
      paths.push_back(nlohmann::json::parse(line).at("path"));
    }
    return paths;
  }
  void expect_sound(const fs::path& index) const {
    const Ended verify = run({"verify", index.string()});
    EXPECT_EQ(verify.code, 0) << verify.err;
    EXPECT_THAT(verify.out, HasSubstr(": sound\n"));
    EXPECT_EQ(verify.err, "");
  }
  static std::set<std::string> files_in(const fs::path& folder) {
    std::set<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      files.insert(entry.path().lexically_relative(folder).string());
    }
    return files;
  }
  /// Short pieces of music, each another content.
  fs::path many_files(int count) const {
    const fs::path folder = composed_.folder / "many";
    fs::create_directories(folder);
    for (int i = 0; i < count; ++i) {
      data::write_wav(folder / ("piece-" + std::to_string(i) + ".wav"), composed_.part(i % kTracks, 0.01 * i, 1.5));
    }
    return folder;
  }

  const Composed composed_{kTracks, 6};
  const fs::path index_ = composed_.index();
};

TEST_F(IndexProgramWhole, LifeOfAnIndex) {
  const Ended built = build(index_, {track(0), track(1), track(2)});
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("added 3, replaced 0, renamed 0, unchanged 0, skipped 0; 0:18 of audio"));
  EXPECT_THAT(files_in(index_),
              ElementsAre("catalogue.sqlite", "lock", "model.safetensors", "segments", "segments/00000001.ear"));
  expect_sound(index_);

  const Ended more = run({"add", index_.string(), composed_.music().string()});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_THAT(more.out, HasSubstr("added 1, replaced 0, renamed 0, unchanged 3"));
  const std::set<std::string> files = files_in(index_);
  const Ended again = run({"add", index_.string(), composed_.music().string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("added 0, replaced 0, renamed 0, unchanged 4"));
  EXPECT_EQ(files_in(index_), files);

  const Ended list = run({"list", index_.string()});
  EXPECT_THAT(list.out, HasSubstr("1\t0:06.0\ttrack-0.wav\n"));
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 4);
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  EXPECT_EQ(info.at("tracks"), 4);
  EXPECT_EQ(info.at("fingerprints"), 4 * 51);
  EXPECT_EQ(info.at("precision"), "fp32");
  EXPECT_EQ(info.at("segment_files"), 2);
  EXPECT_TRUE(info.contains("calibration"));
  EXPECT_THAT(run({"info", index_.string()}).out, HasSubstr("tracks: 4\n"));

  EXPECT_THAT(run({"remove", index_.string(), "track-1.wav", "--id", "3"}).out, HasSubstr("removed 2 of 4 tracks"));
  EXPECT_THAT(listed(index_), UnorderedElementsAre("track-0.wav", "track-3.wav"));
  const Ended absent = run({"remove", index_.string(), "track-1.wav"});
  EXPECT_EQ(absent.code, 1);
  EXPECT_THAT(absent.err, HasSubstr("no track matches 'track-1.wav'"));
  EXPECT_EQ(run({"remove", index_.string(), "--id", "77"}).code, 1);
  EXPECT_THAT(run({"remove", index_.string(), "track-*"}).out, HasSubstr("removed 2 of 2 tracks"));
  expect_sound(index_);
  EXPECT_THAT(run({"add", index_.string(), composed_.music().string()}).out, HasSubstr("added 4"));
  expect_sound(index_);
  EXPECT_EQ(listed(index_).size(), 4U);
}

TEST_F(IndexProgramWhole, MergesAndCalibrates) {
  ASSERT_EQ(build(index_, {track(0), track(1)}).code, 0);
  const fs::path other = composed_.folder / "other";
  std::vector<std::string> compact = build_arguments(other, {track(1), track(2), track(3)});
  compact.insert(compact.end(), {"--precision", "int8", "--no-calibrate"});
  ASSERT_EQ(run(compact).code, 0);
  EXPECT_FALSE(nlohmann::json::parse(run({"info", other.string(), "--json"}).out).contains("calibration"));

  const Ended merged = run({"merge", index_.string(), other.string()});
  EXPECT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(merged.out, HasSubstr(": added 2, already there 1, left out 0"));
  EXPECT_THAT(listed(index_), UnorderedElementsAre("track-0.wav", "track-1.wav", "track-2.wav", "track-3.wav"));
  EXPECT_EQ(listed(other).size(), 3U);
  expect_sound(index_);
  const Ended itself = run({"merge", index_.string(), index_.string()});
  EXPECT_EQ(itself.code, 1);
  EXPECT_THAT(itself.err, HasSubstr("cannot be merged with itself"));
  EXPECT_EQ(run({"merge", index_.string(), (composed_.folder / "nowhere").string()}).code, 1);

  const Ended own = run({"calibrate", index_.string()});
  EXPECT_EQ(own.code, 0) << own.err;
  EXPECT_THAT(own.out, HasSubstr("0.96 s: confidence above "));
  data::compose_folder(composed_.folder / "foreign", {.tracks = 3, .seconds = 12, .seed = 77});
  const Ended foreign = run({"calibrate", index_.string(), "--queries", (composed_.folder / "foreign").string()});
  EXPECT_EQ(foreign.code, 0) << foreign.err;
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  EXPECT_EQ(info.at("calibration").at("source"), "absent audio");
  EXPECT_GE(info.at("calibration").at("points").size(), 3U);
  write_bytes(composed_.folder / "empty.wav", "");
  const Ended nothing = run({"calibrate", index_.string(), "--queries", (composed_.folder / "empty.wav").string()});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("empty.wav: the file is empty"));
}

TEST_F(IndexProgramWhole, MisuseIsExitCodeTwoAndASentence) {
  const std::string index = index_.string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> misuses = {
      {{}, "subcommand is required"},
      {{"nonsense"}, "subcommand is required"},
      {{"list"}, "INDEX is required"},
      {{"build", index, "music"}, "--model is required"},
      {{"build", index, "music", "--model", "m", "--precision", "fp8"}, "fp8"},
      {{"build", index, "music", "--model", "m", "--hop", "0"}, "hop"},
      {{"add", index}, "no sound files, folders or lists given"},
      {{"add", index, "--list", "no-such-list"}, "no-such-list"},
      {{"remove", index}, "nothing to remove"},
      {{"merge", index}, "OTHER is required"},
      {{"calibrate", index, "--rate", "2"}, "rate"},
      {{"verify", index, "--nonsense"}, "--nonsense"},
      {{"list", index, "--threads", "0"}, "threads"}};
  for (const auto& [arguments, sentence] : misuses) {
    const Ended ended = earmark::testing::run("index", arguments);
    EXPECT_EQ(ended.code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_FALSE(fs::exists(index_));
  const Ended help = earmark::testing::run("index", {"build", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--precision"));
}

TEST_F(IndexProgramWhole, WhatCannotBeDoneIsExitCodeOneAndASentence) {
  const std::string music = composed_.music().string();
  const std::string model = composed_.model().string();
  const std::string empty = (composed_.folder / "empty").string();
  fs::create_directories(empty);
  write_bytes(composed_.folder / "file", "no folder");
  const std::string file = (composed_.folder / "file").string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> impossible = {
      {{"list", "nowhere"}, "nowhere: no such folder"},
      {{"info", file}, "expected the folder of an index"},
      {{"verify", empty}, "not an index"},
      {{"add", empty, music}, "not an index"},
      {{"merge", empty, empty}, "not an index"},
      {{"build", index_.string(), empty, "--model", model}, "no sound files found"},
      {{"build", index_.string(), "nowhere", "--model", model}, "nowhere: no such file or folder"},
      {{"build", index_.string(), music, "--model", "no-model"}, "no-model"},
      {{"build", index_.string(), music, "--model", file}, "file"},
      {{"build", music, music, "--model", model}, "neither an index nor an empty folder"},
      {{"build", file, music, "--model", model}, "the folder cannot be made"}};
  for (const auto& [arguments, sentence] : impossible) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 1) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_FALSE(fs::exists(index_));
  EXPECT_THAT(files_in(empty), IsEmpty());
}

TEST_F(IndexProgramWhole, AnotherModelIsRefused) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const std::string other = (composed_.folder / "other.safetensors").string();
  nn::save_model(other, tiny_model(2));
  const Ended added = run({"add", index_.string(), "--model", other, track(1).string()});
  EXPECT_EQ(added.code, 1);
  EXPECT_THAT(added.err, HasSubstr("made with another model"));
  const Ended rebuilt = run({"build", index_.string(), "--model", other, track(1).string()});
  EXPECT_EQ(rebuilt.code, 1);
  EXPECT_THAT(rebuilt.err, HasSubstr("made with another model"));
  const fs::path foreign = composed_.folder / "foreign";
  ASSERT_EQ(run({"build", foreign.string(), "--model", other, track(1).string()}).code, 0);
  const Ended merged = run({"merge", index_.string(), foreign.string()});
  EXPECT_EQ(merged.code, 1);
  EXPECT_THAT(merged.err, HasSubstr("fingerprints of different models cannot be compared"));
  EXPECT_THAT(listed(index_), ElementsAre("track-0.wav"));
  expect_sound(index_);
  EXPECT_EQ(run({"add", index_.string(), "--model", composed_.model().string(), track(1).string()}).code, 0);
}

TEST_F(IndexProgramWhole, BadFilesAreReportedAndTheRestIsDone) {
  const fs::path folder = composed_.folder / "mixed";
  fs::create_directories(folder);
  write_bytes(folder / "text.wav", "no sound at all");
  write_bytes(folder / "empty.mp3", "");
  data::write_wav(folder / "silent.wav", std::vector<float>(32000, 0.0F));
  data::write_wav(folder / "short.wav", composed_.part(0, 1, 0.5));
  data::write_wav(folder / "one sample.wav", composed_.part(0, 1, 1.0 / 16000));
  fs::copy_file(track(1), folder / "cut.wav");
  fs::resize_file(folder / "cut.wav", 100000);
  fs::copy_file(track(2), folder / "it's \"2\"\n\xff.wav");
  fs::copy_file(track(2), folder / "z-copy.wav");
  write_bytes(composed_.folder / "list.txt", "# a list\nmixed/cut.wav\r\nmusic/track-3.wav\nmusic/missing.wav\n");

  const Ended built = build(index_, {folder});
  EXPECT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("added 2, replaced 0, renamed 0, unchanged 0, skipped 6;"));
  for (const std::string reason : {"skipped text.wav: ", "skipped empty.mp3: ", "skipped silent.wav: silent",
                                   "skipped short.wav: too short: 0.5 s", "skipped one sample.wav: too short",
                                   "skipped z-copy.wav: the same content as it's \"2\"\\x0a\\xff.wav",
                                   "damaged cut.wav: truncated: 3.1 s of the 6 s"}) {
    EXPECT_THAT(built.err, HasSubstr(reason));
  }
  const Ended list = run({"list", index_.string()});
  EXPECT_THAT(list.out, HasSubstr("\tit's \"2\"\\x0a\\xff.wav\n"));
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 2);

  const Ended listed_files = run({"add", index_.string(), "--list", (composed_.folder / "list.txt").string()});
  EXPECT_EQ(listed_files.code, 0) << listed_files.err;
  EXPECT_THAT(listed_files.out, HasSubstr("added 1"));
  EXPECT_THAT(listed_files.err, HasSubstr("skipped music/missing.wav: "));
  const Ended nothing = run({"add", index_.string(), (folder / "text.wav").string()});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("none of the files could be indexed"));
  EXPECT_EQ(run({"remove", index_.string(), "it's \"2\"\n\xff.wav"}).code, 0);
  expect_sound(index_);
}

TEST_F(IndexProgramWhole, KilledAtAnyMomentItKeepsWhatWasCommitted) {
  const fs::path music = many_files(24);
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  ASSERT_EQ(build(composed_.folder / "straight", {music}).code, 0);
  const std::chrono::duration<double> whole = Clock::now() - begun;
  std::size_t most = 0;
  RandomStream random(5);
  for (int round = 0; round < 10; ++round) {
    if (round == 5) {
      fs::remove_all(index_);
      most = 0;
    }
    Program program("index", with_one_thread(build_arguments(index_, {music})));
    std::this_thread::sleep_for(whole * random.uniform(0.02, 1));
    program.kill(SIGKILL);
    program.wait();
    if (fs::exists(index_ / "catalogue.sqlite")) {
      expect_sound(index_);
      const std::size_t tracks = listed(index_).size();
      EXPECT_GE(tracks, most);
      most = tracks;
    }
  }
  const Ended completed = build(index_, {music});
  EXPECT_EQ(completed.code, 0) << completed.err;
  expect_sound(index_);
  EXPECT_EQ(listed(index_).size(), 24U);
  for (const std::string& file : files_in(index_)) {
    EXPECT_THAT(file, Not(HasSubstr(".tmp")));
  }
}

TEST_F(IndexProgramWhole, WhatAKilledBuildLeavesBehindIsNoObstacle) {
  fs::create_directories(index_ / "segments");
  for (const std::string name : {"lock", ".earmark-1234-0.tmp", "segments/.earmark-1234-1.tmp", "segments/00000001.ear",
                                 "catalogue.sqlite.new", "model.safetensors"}) {
    write_bytes(index_ / name, "half a fi");
  }
  const Ended built = build(index_, {track(0)});
  EXPECT_EQ(built.code, 0) << built.err;
  expect_sound(index_);
  EXPECT_THAT(files_in(index_),
              ElementsAre("catalogue.sqlite", "lock", "model.safetensors", "segments", "segments/00000001.ear"));
}

TEST_F(IndexProgramWhole, InterruptedItKeepsWhatIsDone) {
  const fs::path music = many_files(60);
  bool interrupted = false;
  for (int attempt = 0; attempt < 12 && !interrupted; ++attempt) {
    fs::remove_all(index_);
    Program program("index", with_one_thread(build_arguments(index_, {music})));
    program.wait_until([&] { return fs::exists(index_ / "segments"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(10 << attempt % 6));
    program.kill(attempt % 2 == 0 ? SIGINT : SIGTERM);
    const int code = program.wait();
    interrupted = code == 1;
    EXPECT_EQ(program.err().find("interrupted; what was added is kept") != std::string::npos, interrupted);
    if (interrupted) {
      expect_sound(index_);
      const std::size_t kept = listed(index_).size();
      EXPECT_LT(kept, 60U);
      EXPECT_THAT(program.out(), HasSubstr("added " + std::to_string(kept) + ","));
    }
  }
  EXPECT_TRUE(interrupted);
  EXPECT_EQ(build(index_, {music}).code, 0);
  EXPECT_EQ(listed(index_).size(), 60U);
}

TEST_F(IndexProgramWhole, FullDiskKeepsWhatWasCommitted) {
  const SmallDisk disk(8 << 20U);
  if (!disk.problem().empty()) {
    GTEST_SKIP() << disk.problem();
  }
  const fs::path index = disk / "index";
  ASSERT_EQ(build(index, {track(0)}).code, 0);
  for (const std::uint64_t left : {0, 4096, 20000, 40960, 57344}) {
    disk.fill(left);
    const Ended full = run({"add", index.string(), composed_.music().string()});
    EXPECT_EQ(full.code, 1) << left;
    EXPECT_THAT(full.err, ::testing::AnyOf(HasSubstr("No space left on device"), HasSubstr("disk is full")));
    EXPECT_THAT(full.err, HasSubstr("keeps the 1 tracks that were committed before"));
    expect_sound(index);
    EXPECT_THAT(listed(index), ElementsAre("track-0.wav"));
    disk.free_space();
  }
  const Ended again = run({"add", index.string(), composed_.music().string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(listed(index).size(), 4U);
  expect_sound(index);
  disk.fill(0);
  const Ended built = build(disk / "new", {track(0)});
  EXPECT_EQ(built.code, 1);
  EXPECT_THAT(built.err, HasSubstr("No space left on device"));
  const Ended removed = run({"remove", index.string(), "track-1.wav"});
  EXPECT_EQ(removed.code, 1);
  expect_sound(index);
  EXPECT_EQ(listed(index).size(), 4U);
}

TEST_F(IndexProgramWhole, FilesThatMayNotGrowKeepWhatWasCommitted) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  int failed = 0;
  for (const std::uint64_t most : {0, 10000, 30000, 60000, 90000, 400000}) {
    const Ended ended = run({"add", index_.string(), composed_.music().string()}, {.largest_file = most});
    expect_sound(index_);
    const std::size_t tracks = listed(index_).size();
    if (ended.code == 0) {
      EXPECT_EQ(tracks, 4U);
      break;
    }
    ++failed;
    EXPECT_EQ(ended.code, 1) << most;
    EXPECT_EQ(tracks, 1U);
    // Standard error is a file here as well: where nothing may grow, nothing can be said.
    if (most > 0) {
      EXPECT_THAT(ended.err, HasSubstr("keeps the 1 tracks that were committed before"));
    }
  }
  EXPECT_GE(failed, 2);
  EXPECT_EQ(listed(index_).size(), 4U);
}

TEST_F(IndexProgramWhole, ReadOnlyFolderIsReadAndNotWritten) {
  const std::string reason = earmark::testing::reason_against_nobody("index");
  if (!reason.empty()) {
    GTEST_SKIP() << reason;
  }
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  fs::permissions(composed_.folder.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  const Surroundings nobody{.as_nobody = true};
  EXPECT_EQ(run({"verify", index_.string()}, nobody).code, 0);
  EXPECT_THAT(run({"list", index_.string()}, nobody).out, HasSubstr("track-0.wav"));
  EXPECT_THAT(run({"info", index_.string()}, nobody).out, HasSubstr("tracks: 1\n"));
  const Ended added = run({"add", index_.string(), track(1).string()}, nobody);
  EXPECT_EQ(added.code, 1);
  EXPECT_THAT(added.err, HasSubstr(index_.string()));
  EXPECT_THAT(added.err, HasSubstr("Permission denied"));
  EXPECT_EQ(run({"remove", index_.string(), "track-0.wav"}, nobody).code, 1);
  const Ended built = run(build_arguments(composed_.folder / "new", {track(0)}), nobody);
  EXPECT_EQ(built.code, 1);
  EXPECT_THAT(built.err, HasSubstr("the folder cannot be made: Permission denied"));
  EXPECT_THAT(listed(index_), ElementsAre("track-0.wav"));
}

TEST_F(IndexProgramWhole, TwoAtATimeWaitForEachOther) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  auto lock = std::make_unique<FileLock>(index_ / "lock", [] {});
  Program first("index", with_one_thread({"add", index_.string(), track(1).string(), track(2).string()}));
  Program second("index", with_one_thread({"add", index_.string(), track(2).string(), track(3).string()}));
  for (const Program* program : {&first, &second}) {
    EXPECT_TRUE(
        program->wait_until([&] { return program->err().find("waiting until it is done") != std::string::npos; }));
  }
  EXPECT_THAT(listed(index_), ElementsAre("track-0.wav"));  // reading does not wait
  lock.reset();
  EXPECT_EQ(first.wait(), 0) << first.err();
  EXPECT_EQ(second.wait(), 0) << second.err();
  EXPECT_THAT(listed(index_), UnorderedElementsAre("track-0.wav", "track-1.wav", "track-2.wav", "track-3.wav"));
  expect_sound(index_);
  Program one("index", with_one_thread(build_arguments(composed_.folder / "new", {track(0)})));
  Program two("index", with_one_thread(build_arguments(composed_.folder / "new", {track(1)})));
  EXPECT_EQ(one.wait(), 0) << one.err();
  EXPECT_EQ(two.wait(), 0) << two.err();
  EXPECT_EQ(listed(composed_.folder / "new").size(), 2U);
}

TEST_F(IndexProgramWhole, DamageIsFoundAndNamed) {
  ASSERT_EQ(build(index_, {composed_.music()}).code, 0);
  const fs::path broken = composed_.folder / "broken";
  const auto flip = [&](const std::string& file, std::uintmax_t at) {
    std::fstream io(broken / file, std::ios::in | std::ios::out | std::ios::binary);
    io.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(io.get() ^ 0x40);
    io.seekp(static_cast<std::streamoff>(at));
    io.put(byte);
  };
  const auto cut = [&](const std::string& file, std::uintmax_t size) { fs::resize_file(broken / file, size); };
  const std::string segment = "segments/00000001.ear";
  const std::vector<std::pair<std::string, std::function<void()>>> damages = {
      {segment, [&] { flip(segment, 20000); }},
      {segment, [&] { flip(segment, 9); }},
      {segment, [&] { cut(segment, 30000); }},
      {segment, [&] { cut(segment, 0); }},
      {segment, [&] { fs::remove(broken / segment); }},
      {"model.safetensors", [&] { flip("model.safetensors", 40000); }},
      {"model.safetensors", [&] { flip("model.safetensors", 3); }},
      {"model.safetensors", [&] { cut("model.safetensors", 40000); }},
      {"model.safetensors", [&] { fs::remove(broken / "model.safetensors"); }},
      {"catalogue.sqlite", [&] { cut("catalogue.sqlite", 5000); }},
      {"catalogue.sqlite", [&] { flip("catalogue.sqlite", 3); }},
      {"catalogue.sqlite", [&] { write_bytes(broken / "catalogue.sqlite", std::string(20000, 'x')); }},
      {"catalogue.sqlite", [&] { cut("catalogue.sqlite", 0); }}};
  for (std::size_t i = 0; i < damages.size(); ++i) {
    fs::remove_all(broken);
    fs::copy(index_, broken, fs::copy_options::recursive);
    damages[i].second();
    const Ended verify = run({"verify", broken.string()});
    EXPECT_EQ(verify.code, 1) << i;
    EXPECT_THAT(verify.err, HasSubstr(damages[i].first)) << i;
    EXPECT_EQ(verify.out, "");
    const Ended search = earmark::testing::run("search", {broken.string(), track(0).string(), "--threads", "1"});
    EXPECT_EQ(search.code, 1) << i;
    EXPECT_THAT(search.err, HasSubstr(damages[i].first)) << i;
    EXPECT_EQ(search.out, "");
  }
  // Wherever a byte of the catalogue is wrong: an answer or a sentence, and no crash.
  RandomStream random(3);
  const std::uintmax_t size = fs::file_size(index_ / "catalogue.sqlite");
  for (int i = 0; i < 12; ++i) {
    fs::copy_file(index_ / "catalogue.sqlite", broken / "catalogue.sqlite", fs::copy_options::overwrite_existing);
    flip("catalogue.sqlite", random.below(size));
    const Ended list = run({"list", broken.string()});
    EXPECT_THAT(list.code, ::testing::AnyOf(0, 1));
    EXPECT_EQ(list.err.empty(), list.code == 0);
  }
}

TEST_F(IndexProgramWhole, FullStandardOutputIsAnError) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const Ended ended = run({"list", index_.string()}, {.output = "/dev/full"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("standard output cannot be written"));
}

}  // namespace
}  // namespace earmark::search
