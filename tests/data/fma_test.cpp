#include "data/fma.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::TemporaryFolder;
using testing::write_text;

// As in fma_metadata: groups, names, the index' name, then tracks, with line breaks inside quoted fields.
constexpr const char* kTracks =
    ",album,artist,set,set,track,track\n"
    ",information,name,split,subset,license,title\n"
    "track_id,,,,,,\n"
    "2,\"<p>Two\nlines, \"\"quoted\"\"</p>\",AWOL,training,small,CC BY,Food\n"
    "5,,AWOL,validation,medium,CC BY,\"This, World\"\n"
    "10,,Kurt Vile,test,large,CC BY-NC,Freeway\n"
    "155320,,Late,training,,CC0,Full only\n"
    "3,,AWOL,training,small,CC BY,Electric Ave\n";

class Fma : public ::testing::Test {
 protected:
  Fma() {
    std::filesystem::create_directories(folder_ / "fma_metadata");
    write_text(folder_ / "fma_metadata/tracks.csv", kTracks);
    for (const char* subset : {"small", "medium", "large", "full"}) {
      std::filesystem::create_directories(folder_ / (std::string("fma_") + subset + "/000"));
      std::filesystem::create_directories(folder_ / (std::string("fma_") + subset + "/155"));
      for (const char* name : {"000/000002.mp3", "000/000005.mp3", "000/000010.mp3", "155/155320.mp3"}) {
        write_text(folder_ / ("fma_" + std::string(subset) + "/" + name), "x");
      }
    }
  }
  std::vector<std::string> names(const FmaOptions& options) {
    std::vector<std::string> out;
    missing_.clear();
    for (const AudioFile& file : list_fma(folder_.path(), options, &missing_)) {
      out.push_back(file.name);
    }
    return out;
  }
  TemporaryFolder folder_;
  std::vector<SkippedFile> missing_;
};

using Names = std::vector<std::string>;

TEST_F(Fma, SubsetsContainTheSmallerOnes) {
  EXPECT_EQ(names({"small", ""}), (Names{"000/000002.mp3"}));
  ASSERT_EQ(missing_.size(), 1U);  // track 3 has no file
  EXPECT_EQ(missing_[0].path.filename(), "000003.mp3");
  EXPECT_EQ(names({"medium", ""}), (Names{"000/000002.mp3", "000/000005.mp3"}));
  EXPECT_EQ(names({"large", ""}), (Names{"000/000002.mp3", "000/000005.mp3", "000/000010.mp3"}));
  EXPECT_EQ(names({"full", ""}), (Names{"000/000002.mp3", "000/000005.mp3", "000/000010.mp3", "155/155320.mp3"}));
}

TEST_F(Fma, SplitsAreSelected) {
  EXPECT_EQ(names({"large", "training"}), (Names{"000/000002.mp3"}));
  EXPECT_EQ(names({"large", "validation"}), (Names{"000/000005.mp3"}));
  EXPECT_EQ(names({"large", "test"}), (Names{"000/000010.mp3"}));
}

TEST_F(Fma, TitlesArtistsAndLicencesComeAlong) {
  const AudioFile file = list_fma(folder_.path(), {"medium", "validation"}).at(0);
  EXPECT_EQ(file.title, "This, World");
  EXPECT_EQ(file.artist, "AWOL");
  EXPECT_EQ(file.licence, "CC BY");
  EXPECT_EQ(file.split, "validation");
}

TEST_F(Fma, WithoutACatalogueTheFolderIsEnoughUnlessASplitIsWanted) {
  std::filesystem::remove(folder_ / "fma_metadata/tracks.csv");
  EXPECT_EQ(list_fma(folder_.path(), {"small", ""}).size(), 4U);
  EXPECT_THROW(list_fma(folder_.path(), {"small", "test"}), Error);
}

TEST_F(Fma, WhatIsWrongIsNamed) {
  EXPECT_THROW(list_fma(folder_.path(), {"tiny", ""}), Error);
  EXPECT_THROW(list_fma(folder_.path(), {"small", "train"}), Error);
  std::filesystem::remove_all(folder_ / "fma_small");
  EXPECT_THROW(list_fma(folder_.path(), {"small", ""}), Error);
  write_text(folder_ / "fma_metadata/tracks.csv", ",album\n,title\ntrack_id,\n");
  EXPECT_THROW(list_fma(folder_.path(), {"medium", ""}), Error);
  write_text(folder_ / "fma_metadata/tracks.csv", std::string(kTracks) + "7,too,few\n");
  try {
    list_fma(folder_.path(), {"medium", ""});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("line 10"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace earmark::data
