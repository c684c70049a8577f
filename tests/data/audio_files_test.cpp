#include "data/audio_files.h"

#include <gtest/gtest.h>

#include <vector>

#include "data/wav.h"
#include "kernels/error.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::TemporaryFolder;
using testing::write_text;

std::vector<std::string> names(const std::vector<AudioFile>& files) {
  std::vector<std::string> out;
  for (const AudioFile& file : files) {
    out.push_back(file.name);
  }
  return out;
}

TEST(AudioFiles, FoldersAreSearchedAndSorted) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "b/inner");
  for (const char* name : {"z.mp3", "a.OGG", "b/2.flac", "b/inner/1.wav", "cover.jpg", "readme.txt", "list.m3u"}) {
    write_text(folder / name, "x");
  }
  EXPECT_EQ(names(list_audio_files(folder.path())),
            (std::vector<std::string>{"a.OGG", "b/2.flac", "b/inner/1.wav", "z.mp3"}));
}

TEST(AudioFiles, FilesWithoutExtensionAreJudgedByContents) {
  const TemporaryFolder folder;
  write_wav(folder / "sound.wav", testing::melody(0.2));
  std::filesystem::rename(folder / "sound.wav", folder / "sound");
  write_text(folder / "Makefile", "all:\n");
  EXPECT_EQ(names(list_audio_files(folder.path())), std::vector<std::string>{"sound"});
}

TEST(AudioFiles, ListsNameFilesRelativeToThemselves) {
  const TemporaryFolder folder;
  write_text(folder / "list.m3u", "#EXTM3U\r\nsub/one.mp3\r\n\r\n/absolute/two.ogg\n# note\nlast.wav");
  const auto files = list_audio_files(folder / "list.m3u");
  EXPECT_EQ(names(files), (std::vector<std::string>{"sub/one.mp3", "/absolute/two.ogg", "last.wav"}));
  EXPECT_EQ(files[0].path, folder / "sub/one.mp3");
  EXPECT_EQ(files[1].path, "/absolute/two.ogg");
}

TEST(AudioFiles, ListsSeparatedByNulHoldAnyName) {
  const TemporaryFolder folder;
  write_text(folder / "list.txt", std::string("new\nline.mp3\0#hash.mp3\0\xff.ogg", 29));
  EXPECT_EQ(names(list_audio_files(folder / "list.txt")),
            (std::vector<std::string>{"new\nline.mp3", "#hash.mp3", "\xff.ogg"}));
}

TEST(AudioFiles, NamedTwiceIsGivenOnce) {
  const TemporaryFolder folder;
  write_text(folder / "a.mp3", "x");
  const std::vector<std::filesystem::path> inputs = {folder / "a.mp3", folder.path(), folder / "./a.mp3"};
  EXPECT_EQ(list_audio_files(inputs).size(), 1U);
}

TEST(AudioFiles, EmptyFoldersGiveNothingAndMissingOnesAnError) {
  const TemporaryFolder folder;
  EXPECT_TRUE(list_audio_files(folder.path()).empty());
  EXPECT_THROW(list_audio_files(folder / "missing"), Error);
}

TEST(AudioFiles, DanglingLinksAreNoFiles) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("nowhere.mp3", folder / "link.mp3");
  std::filesystem::create_directory_symlink(folder.path(), folder / "loop");
  EXPECT_TRUE(list_audio_files(folder.path()).empty());
}

TEST(Printable, EscapesWhatATerminalShouldNotSee) {
  EXPECT_EQ(printable("plain name.mp3"), "plain name.mp3");
  EXPECT_EQ(printable("Gr\xc3\xbc\xc3\x9f"
                      "e \xe2\x82\xac \xf0\x9f\x8e\xb5"),
            "Gr\xc3\xbc\xc3\x9f"
            "e \xe2\x82\xac \xf0\x9f\x8e\xb5");
  EXPECT_EQ(printable("new\nline\x1b[31m"), "new\\x0aline\\x1b[31m");
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(printable("\xc0\xaf\xe2\x82"), "\\xc0\\xaf\\xe2\\x82");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a surrogate pair
}

TEST(Printable, NoTwoNamesLookAlikeAndEachIsReadBack) {
  EXPECT_EQ(printable("c\\x0ad.wav"), "c\\x5cx0ad.wav");
  for (const std::string name :
       {"plain", "c\nd.wav", "c\\x0ad.wav", "c\\x5cx0ad.wav", "\\", "\xff\xc3 Gr\xc3\xbc", "\\\\x0"}) {
    EXPECT_EQ(from_printable(printable(name)), name);
  }
  for (const std::string other : {"a\\b", "a\\x", "a\\x0", "a\\x0g", "a\\xAB"}) {
    EXPECT_EQ(from_printable(other), other);
  }
}

TEST(Printable, SentencesKeepTheNamesTheyWereGiven) {
  EXPECT_EQ(printable_sentence(printable("c\nd\\e.wav") + ": no\tsound"), "c\\x0ad\\x5ce.wav: no\\x09sound");
}

}  // namespace
}  // namespace earmark::data
