#include "data/pcm_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::melody;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

class Store : public ::testing::Test {
 protected:
  Store() {
    std::filesystem::create_directories(music());
    for (int i = 0; i < 6; ++i) {
      write_wav(music() / ("t" + std::to_string(i) + ".wav"), sound(i));
    }
    options_.show_progress = false;
  }
  std::filesystem::path music() const { return folder_ / "music"; }
  std::filesystem::path store() const { return folder_ / "store"; }
  static std::vector<float> sound(int i) { return melody(1 + 0.1 * i, 16000, static_cast<std::uint64_t>(i)); }
  PcmStore prepare() const { return PcmStore::prepare(store(), list_audio_files(music()), options_); }

  void expect_complete(const PcmStore& s) const {
    ASSERT_EQ(s.size(), 6);
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(s.file(i).name, "t" + std::to_string(i) + ".wav");
      EXPECT_TRUE(std::ranges::equal(s.track(i), testing::to_pcm(sound(i)), [](std::int16_t a, std::int16_t b) {
        return std::abs(a - b) <= 1;
      })) << i;
    }
  }
  // How many files a run had to decode: lines added to the journal.
  std::int64_t lines() const {
    const std::string text = read_text(store() / "index.jsonl");
    return std::count(text.begin(), text.end(), '\n');
  }

  TemporaryFolder folder_;
  PcmStoreOptions options_;
};

TEST_F(Store, HoldsWhatWasDecodedInTheOrderAskedFor) {
  expect_complete(prepare());
  auto files = list_audio_files(music());
  std::reverse(files.begin(), files.end());
  const PcmStore reversed = PcmStore::prepare(store(), files, options_);
  EXPECT_EQ(reversed.file(0).name, "t5.wav");
  EXPECT_EQ(reversed.track(0).size(), sound(5).size());
  EXPECT_EQ(lines(), 7);  // nothing was decoded twice
  EXPECT_EQ(PcmStore::open(store()).size(), 6);
}

TEST_F(Store, AddsOnlyWhatIsNew) {
  prepare();
  write_wav(music() / "u.wav", melody(1.2));
  EXPECT_EQ(prepare().size(), 7);
  EXPECT_EQ(lines(), 8);
}

TEST_F(Store, ChangedFilesAreDecodedAgain) {
  prepare();
  write_wav(music() / "t2.wav", melody(2.5, 16000, 99));
  const PcmStore after = prepare();
  EXPECT_EQ(after.track(2).size(), 40000U);
  EXPECT_EQ(lines(), 8);
}

TEST_F(Store, BadFilesAreSkippedWithTheirReasonOnce) {
  write_text(music() / "broken.mp3", "no music");
  write_text(music() / "empty.ogg", "");
  write_wav(music() / "short.wav", melody(0.5));
  write_wav(music() / "silent.wav", std::vector<float>(32000));
  const PcmStore s = prepare();
  EXPECT_EQ(s.size(), 6);
  ASSERT_EQ(s.skipped().size(), 4U);
  EXPECT_NE(s.skipped()[0].reason.find("not a sound file"), std::string::npos);
  EXPECT_NE(s.skipped()[1].reason.find("empty"), std::string::npos);
  EXPECT_NE(s.skipped()[2].reason.find("too short: 0.5 s"), std::string::npos);
  EXPECT_EQ(s.skipped()[3].reason, "silent");
  EXPECT_EQ(prepare().skipped().size(), 4U);
  EXPECT_EQ(lines(), 11);
}

TEST_F(Store, FilesThatAreGoneAreSkipped) {
  auto files = list_audio_files(music());
  prepare();
  std::filesystem::remove(music() / "t3.wav");
  const PcmStore s = PcmStore::prepare(store(), files, options_);
  EXPECT_EQ(s.size(), 5);
  ASSERT_EQ(s.skipped().size(), 1U);
  EXPECT_NE(s.skipped()[0].reason.find("No such file"), std::string::npos);
}

TEST_F(Store, AnyFileNameIsKept) {
  for (const char* name : {"new\nline.wav", "\xff\xfe.wav", "quote\".wav", "\xc3\xbc.wav"}) {
    write_wav(music() / name, melody(1));
  }
  EXPECT_EQ(prepare().size(), 10);
  EXPECT_EQ(prepare().size(), 10);
  EXPECT_EQ(lines(), 11);
}

// Killed at any moment: any prefix of the journal, with at least the samples it speaks of.
TEST_F(Store, GoesOnAfterAKillAtAnyMoment) {
  prepare();
  const std::string journal = read_text(store() / "index.jsonl");
  const std::string samples = read_text(store() / "samples.s16");
  for (std::size_t cut = 0; cut < journal.size(); cut += journal.size() / 23) {
    write_text(store() / "index.jsonl", journal.substr(0, cut));
    write_text(store() / "samples.s16", samples);
    expect_complete(prepare());
  }
}

TEST_F(Store, GoesOnWhenSamplesWereLost) {
  prepare();
  const auto bytes = std::filesystem::file_size(store() / "samples.s16");
  for (const auto keep : {bytes - 1, bytes / 2, std::uintmax_t{0}}) {
    testing::truncate_file(store() / "samples.s16", keep);
    expect_complete(prepare());
  }
  std::filesystem::remove(store() / "samples.s16");
  expect_complete(prepare());
}

TEST_F(Store, LostSamplesAreNeverTakenForOthers) {
  prepare();
  testing::truncate_file(store() / "samples.s16", 1000);
  // Only one file is asked for now: the others' lines must not point into its samples later.
  auto files = list_audio_files(music());
  PcmStore::prepare(store(), std::span(files).subspan(4, 1), options_);
  expect_complete(prepare());
}

TEST_F(Store, DamagedJournalLinesAreDecodedAgain) {
  prepare();
  std::string journal = read_text(store() / "index.jsonl");
  journal[journal.size() / 2] = '\0';
  write_text(store() / "index.jsonl", journal);
  expect_complete(prepare());
}

TEST_F(Store, OtherOptionsAreRefused) {
  prepare();
  options_.channel = Channel::left;
  EXPECT_THROW(prepare(), Error);
}

TEST_F(Store, OnlyOneProcessAdds) {
  std::filesystem::create_directories(store());
  const int other = ::open((store() / "lock").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  EXPECT_THROW(prepare(), Error);
  ::close(other);
  expect_complete(prepare());
}

TEST_F(Store, ThreadsDoNotChangeTheView) {
  const int before = num_threads();
  set_num_threads(4);
  expect_complete(prepare());
  set_num_threads(before);
}

TEST_F(Store, OpeningNothingIsAnError) {
  EXPECT_THROW(PcmStore::open(folder_ / "nothing"), Error);
  prepare();
  testing::truncate_file(store() / "samples.s16", 10);
  EXPECT_THROW(PcmStore::open(store()), Error);
}

TEST_F(Store, AnEmptyListIsAnEmptyStore) { EXPECT_EQ(PcmStore::prepare(store(), {}, options_).size(), 0); }

TEST_F(Store, AFullDiskIsReportedAndHealed) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(prepare(), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  expect_complete(prepare());
}

TEST(StoreInMemory, KeepsItsTracks) {
  const PcmStore s = PcmStore::in_memory({{1, 2, 3}, {4}});
  EXPECT_EQ(s.size(), 2);
  EXPECT_EQ(s.total_samples(), 4);
  EXPECT_EQ(s.track(0)[2], 3);
}

}  // namespace
}  // namespace earmark::data
