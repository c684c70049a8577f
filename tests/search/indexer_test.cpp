#include "search/indexer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/search/composed.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string reason_for(const IndexReport& report, const std::string& path) {
  const auto found = std::find_if(report.skipped.begin(), report.skipped.end(),
                                  [&](const IndexReport::Skipped& s) { return s.path == path; });
  return found == report.skipped.end() ? "" : found->reason;
}

TEST(AddAudioTest, AddsWhatIsThereOnce) {
  const Composed composed;
  const IndexReport first = composed.add({composed.music()});
  EXPECT_EQ(first.added, 3);
  EXPECT_TRUE(first.skipped.empty());
  EXPECT_NEAR(first.audio_seconds, 60, 0.1);
  const IndexReport second = composed.add({composed.music()});
  EXPECT_EQ(second.added, 0);
  EXPECT_EQ(second.unchanged, 3);
  const IndexStore store = IndexStore::open(composed.index());
  ASSERT_EQ(store.tracks().size(), 3U);
  EXPECT_EQ(store.tracks()[1].path, Composed::name(1));
  EXPECT_EQ(store.tracks()[1].folder, fs::canonical(composed.music()).string());
  EXPECT_NEAR(store.tracks()[1].duration_s, 20, 0.01);
  EXPECT_EQ(store.tracks()[1].rows, 191);
}

TEST(AddAudioTest, RecognisesRenamedAndChangedFiles) {
  const Composed composed;
  composed.add({composed.music()});
  fs::rename(composed.music() / Composed::name(0), composed.music() / "renamed.wav");
  data::write_wav(composed.music() / Composed::name(1), composed.part(2, 3, 10));
  fs::copy_file(composed.music() / Composed::name(2), composed.music() / "copy.wav");
  const IndexReport report = composed.add({composed.music()});
  EXPECT_EQ(report.renamed, 1);
  EXPECT_EQ(report.replaced, 1);
  EXPECT_EQ(report.unchanged, 1);
  EXPECT_EQ(report.added, 0);
  EXPECT_THAT(reason_for(report, "copy.wav"), HasSubstr("the same content"));
  const IndexStore store = IndexStore::open(composed.index());
  std::vector<std::string> paths;
  for (const Track& track : store.tracks()) {
    paths.push_back(track.path);
  }
  EXPECT_THAT(paths, ::testing::UnorderedElementsAre("renamed.wav", Composed::name(1), Composed::name(2)));
}

TEST(AddAudioTest, BadFilesAreSkippedWithTheReason) {
  const Composed composed(1);
  write_bytes(composed.music() / "empty.mp3", "");
  write_bytes(composed.music() / "text.mp3", "this is not music at all\n");
  std::string wav;
  {
    std::ifstream in(composed.music() / Composed::name(0), std::ios::binary);
    wav.assign(std::istreambuf_iterator<char>(in), {});
  }
  write_bytes(composed.music() / "header.wav", wav.substr(0, 44));
  const std::vector<float> silence(32000, 0.0F);
  data::write_wav(composed.music() / "silent.wav", silence);
  data::write_wav(composed.music() / "short.wav", composed.part(0, 0, 0.5));
  data::write_wav(composed.music() / "one.wav", composed.part(0, 5, 1.0 / 16000));
  const IndexReport report = composed.add({composed.music()});
  EXPECT_EQ(report.added, 1);
  EXPECT_EQ(report.skipped.size(), 6U);
  EXPECT_THAT(reason_for(report, "silent.wav"), HasSubstr("silent"));
  EXPECT_THAT(reason_for(report, "short.wav"), HasSubstr("too short"));
  EXPECT_THAT(reason_for(report, "one.wav"), HasSubstr("too short"));
  for (const std::string name : {"empty.mp3", "text.mp3", "header.wav"}) {
    EXPECT_FALSE(reason_for(report, name).empty()) << name;
  }
}

TEST(AddAudioTest, OddSoundsAreTaken) {
  const Composed composed(1);
  std::vector<float> broken(composed.part(0, 2, 3).begin(), composed.part(0, 2, 3).end());
  broken[100] = std::numeric_limits<float>::quiet_NaN();
  data::write_wav(composed.music() / "nan.wav", broken, 16000, data::WavFormat::float32);
  std::vector<float> eight;
  for (const float x : composed.part(0, 6, 2)) {
    eight.insert(eight.end(), 8, x);
  }
  data::write_wav(composed.music() / "eight channels.wav", eight, 16000, data::WavFormat::pcm16, 8);
  data::write_wav(composed.music() / "fast.wav", composed.part(0, 0, 20), 192000);
  const IndexReport report = composed.add({composed.music()});
  EXPECT_EQ(report.added, 4);
  const IndexStore store = IndexStore::open(composed.index());
  const Tensor rows = store.database().widened(0, store.database().rows());
  EXPECT_TRUE(std::ranges::all_of(rows.values<float>(), [](float x) { return std::isfinite(x); }));
}

TEST(AddAudioTest, NamesOfAnyBytes) {
  const Composed composed(1);
  const std::vector<std::string> names = {"with space.wav", "quote'\".wav", "new\nline.wav", "latin-\xe9.wav"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    data::write_wav(composed.music() / names[i], composed.part(0, static_cast<double>(i), 2));
  }
  EXPECT_EQ(composed.add({composed.music()}).added, 5);
  std::vector<std::string> paths;
  const IndexStore store = IndexStore::open(composed.index());
  for (const Track& track : store.tracks()) {
    paths.push_back(track.path);
  }
  EXPECT_THAT(paths, ::testing::IsSupersetOf(names));
}

TEST(AddAudioTest, ThreadsDoNotChangeTheIndex) {
  const Composed composed(4, 5);
  const int before = num_threads();
  std::vector<std::uint64_t> keys;
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    fs::remove_all(composed.index());
    composed.add({composed.music()});
    keys.push_back(IndexStore::open(composed.index()).content_key());
  }
  set_num_threads(before);
  EXPECT_EQ(keys[0], keys[1]);
}

TEST(AddAudioTest, ErrorsOfTheEmbedderEndTheRunAndKeepWhatWasCommitted) {
  const Composed composed;
  composed.add({composed.music() / Composed::name(0)});
  IndexWriter writer = composed.writer();
  EXPECT_THROW(add_audio(writer, find_sources({composed.music()}),
                         [](std::span<const float>) -> Tensor { throw std::runtime_error("out of memory"); }),
               std::runtime_error);
  EXPECT_EQ(IndexStore::open(composed.index()).tracks().size(), 1U);
}

TEST(FindSourcesTest, FilesFoldersAndLists) {
  const Composed composed(2, 2);
  write_bytes(composed.folder / "some.txt", "music/track-1.wav\n");
  const std::vector<AudioSource> listed = find_sources({composed.folder / "some.txt"});
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0].path, "music/track-1.wav");
  EXPECT_EQ(listed[0].folder, fs::canonical(composed.folder.path()).string());
  const std::vector<AudioSource> both = find_sources({composed.music() / Composed::name(1), composed.music()});
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].path, Composed::name(1));
  fs::create_directories(composed.folder / "nothing");
  EXPECT_TRUE(find_sources({composed.folder / "nothing"}).empty());
  EXPECT_THROW(find_sources({composed.folder / "missing"}), Error);
}

TEST(ContentHashTest, DependsOnTheBytesAlone) {
  const testing::TemporaryFolder folder;
  write_bytes(folder / "a", "content");
  write_bytes(folder / "b", "content");
  write_bytes(folder / "c", "Content");
  EXPECT_EQ(content_hash(folder / "a"), content_hash(folder / "b"));
  EXPECT_NE(content_hash(folder / "a"), content_hash(folder / "c"));
  EXPECT_EQ(content_hash(folder / "a").size(), 32U);
  EXPECT_THROW(content_hash(folder / "d"), Error);
  EXPECT_THROW(content_hash(folder.path()), Error);
}

}  // namespace
}  // namespace earmark::search
