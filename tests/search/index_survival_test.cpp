// What an index survives: sudden ends, full disks, folders that may not be written, several at a time, damage.
#include <chrono>
#include <csignal>
#include <thread>

#include "kernels/file_lock.h"
#include "kernels/random.h"
#include "tests/search/index_program.h"

namespace earmark::search {
namespace {

using earmark::testing::SmallDisk;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class IndexSurvivalWhole : public IndexProgram {};

TEST_F(IndexSurvivalWhole, KilledAtAnyMomentItKeepsWhatWasCommitted) {
  const fs::path music = many_files(24);
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_EQ(build(composed_.folder / "straight", {music}).code, 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begun;
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

TEST_F(IndexSurvivalWhole, WhatAKilledBuildLeavesBehindIsNoObstacle) {
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

TEST_F(IndexSurvivalWhole, InterruptedItKeepsWhatIsDone) {
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

TEST_F(IndexSurvivalWhole, FullDiskKeepsWhatWasCommitted) {
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

TEST_F(IndexSurvivalWhole, FilesThatMayNotGrowKeepWhatWasCommitted) {
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

TEST_F(IndexSurvivalWhole, ReadOnlyFolderIsReadAndNotWritten) {
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

TEST_F(IndexSurvivalWhole, TwoAtATimeWaitForEachOther) {
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

TEST_F(IndexSurvivalWhole, DamageIsFoundAndNamed) {
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

}  // namespace
}  // namespace earmark::search
