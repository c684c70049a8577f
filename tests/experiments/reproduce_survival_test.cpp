// What `reproduce` survives: full disks, folders that may not be written, an empty collection, files with odd names or
// without music in them.
#include "data/wav.h"
#include "tests/experiments/reproduce_program.h"

namespace earmark::experiments {
namespace {

using earmark::testing::SmallDisk;
using ::testing::Not;

class ReproduceSurvivalWhole : public ReproduceProgram {};

TEST_F(ReproduceSurvivalWhole, AFullDiskIsSaidAndWhatWasMadeIsKept) {
  const SmallDisk disk(32 << 20U);
  if (!disk.problem().empty()) {
    GTEST_SKIP() << disk.problem();
  }
  out_ = disk / "straight";
  const Ended straight = reproduce();
  ASSERT_EQ(straight.code, 0) << straight.err;
  out_ = disk / "out";
  // What runs out of space is the index, the queries or the tables, as the space left has it.
  for (const std::uint64_t left : {0, 200 << 10, 1 << 20}) {
    disk.fill(left);
    const Ended full = reproduce();
    EXPECT_EQ(full.code, 1) << left;
    EXPECT_THAT(full.err, ::testing::AnyOf(HasSubstr("No space left on device"), HasSubstr("disk is full"))) << left;
    EXPECT_THAT(full.err, HasSubstr(out_.string())) << left;
    EXPECT_EQ(full.out, "");
    EXPECT_FALSE(fs::exists(out_ / "results.json"));
    disk.free_space();
  }
  const Ended again = reproduce();
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(bytes_of(out_ / "answers.tsv"), bytes_of(disk / "straight" / "answers.tsv"));
}

TEST_F(ReproduceSurvivalWhole, AFolderThatMayNotBeWrittenIsRefusedBeforeTheWork) {
  const std::string reason = earmark::testing::reason_against_nobody("reproduce");
  if (!reason.empty()) {
    GTEST_SKIP() << reason;
  }
  fs::permissions(folder_.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  const Ended ended = reproduce({}, {.as_nobody = true});
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, AllOf(HasSubstr(out_.string()), HasSubstr("Permission denied")));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(ReproduceSurvivalWhole, AnEmptyCollectionIsASentence) {
  const fs::path empty = folder_ / "empty";
  fs::create_directories(empty);
  const Ended ended = reproduce({"--set", "reproduce.database=" + empty.string()});
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, AllOf(HasSubstr(empty.string()), HasSubstr("no sound files found")));
}

TEST_F(ReproduceSurvivalWhole, OddNamesAreMusicAndFilesWithoutMusicAreSkipped) {
  const fs::path music = folder_ / "music";
  int renamed = 0;
  for (const std::string odd :
       {"it's \"1\".wav", "two\nlines.wav", "\xff not UTF-8.wav", "tab\tand, back\\slash.wav"}) {
    fs::rename(music / ("track-000" + std::to_string(renamed++) + ".wav"), music / odd);
  }
  std::ofstream(music / "text.wav") << "no sound at all";
  std::ofstream(music / "nothing.mp3");
  data::write_wav(music / "one sample.wav", std::vector<float>(1, 0.5F));
  data::write_wav(music / "silent.wav", std::vector<float>(48000, 0.0F));
  const Ended ended = reproduce();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("index: 4 tracks added, 0 were there, 4 skipped"));
  EXPECT_THAT(ended.out, HasSubstr("Table 2."));
  // A name is one field of one line wherever it is written, and names the track that was meant.
  std::ifstream rows(out_ / "answers.tsv");
  int of_two_seconds = 0;
  for (std::string row; std::getline(rows, row);) {
    EXPECT_EQ(std::count(row.begin(), row.end(), '\t'), 8) << row;
    of_two_seconds += static_cast<int>(row.find("\t2\t") != std::string::npos);
  }
  EXPECT_GT(of_two_seconds, 0);
  const std::string answers = bytes_of(out_ / "answers.tsv");
  for (const std::string shown :
       {"it's \"1\".wav", "two\\x0alines.wav", "\\xff not UTF-8.wav", "tab\\x09and, back\\x5cslash.wav"}) {
    EXPECT_THAT(answers, HasSubstr(shown));
  }
}

}  // namespace
}  // namespace earmark::experiments
