// An index of landmarks on disk: what is kept, removed and merged, what fits no such index, and what is damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "kernels/error.h"
#include "kernels/random.h"
#include "search/catalogue.h"
#include "search/index_writer.h"
#include "search/sqlite.h"
#include "tests/search/landmark_index.h"
#include "tests/search/planted.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LandmarkStore : public ::testing::Test {
 protected:
  fs::path index(const std::string& name = "index") const { return folder_ / name; }
  IndexWriter create(const std::string& name = "index", const std::string& setting = "best") const {
    return IndexWriter::create(index(name), {}, landmark_format(landmark_setting(setting)));
  }
  static Track track(const std::string& name) {
    Track track;
    track.path = name;
    track.folder = "/music";
    track.duration_s = 7.25;
    track.content_hash = "hash of " + name;
    return track;
  }
  static std::vector<Landmark> landmarks_of_track(int i) {
    return random_landmarks(200 + 10 * i, static_cast<std::uint64_t>(i));
  }
  /// Tracks 1, 2, ..., one segment for every two of them.
  void fill(int from, int to, const std::string& name = "index") const {
    IndexWriter writer = create(name);
    for (int i = from; i <= to; ++i) {
      writer.add(track(std::to_string(i)), rows_of(landmarks_of_track(i)));
      if (i % 2 == 0) {
        writer.commit();
      }
    }
    writer.commit();
  }
  /// The tracks that are there, each with the landmarks it was given.
  std::vector<std::string> sound_tracks(const std::string& name = "index") const {
    EXPECT_THAT(verify_index(index(name)), IsEmpty());
    const IndexStore store = IndexStore::open(index(name));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < store.tracks().size(); ++i) {
      names.push_back(store.tracks()[i].path);
      const auto found = landmarks_in(store.database().stored_rows(store.database().tracks()[i]));
      EXPECT_THAT(found, ElementsAreArray(landmarks_of_track(std::stoi(names.back())))) << names.back();
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string problem_of(const std::function<void()>& action) const {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryFolder folder_;
};

TEST_F(LandmarkStore, KeepsTracksLandmarksAndOptions) {
  fill(1, 5);
  EXPECT_THAT(sound_tracks(), ElementsAre("1", "2", "3", "4", "5"));
  const IndexStore store = IndexStore::open(index());
  EXPECT_EQ(store.database().blocks().size(), 3U);
  ASSERT_TRUE(store.format().landmarks);
  EXPECT_EQ(to_text(*store.format().landmarks), to_text(landmark_setting("best")));
  EXPECT_EQ(store.format().sample_rate, 11025);
  EXPECT_NEAR(store.format().hop_seconds(), 0.02322, 1e-5);
  EXPECT_EQ(store.tracks()[0].duration_s, 7.25);
  EXPECT_FALSE(fs::exists(store.model_file()));
}

TEST_F(LandmarkStore, RemovesReplacesAndMerges) {
  fill(1, 4);
  {
    IndexWriter writer = create();
    writer.remove({1, 4});
    writer.replace(2, track("6"), rows_of(landmarks_of_track(6)));
    writer.commit();
  }
  EXPECT_THAT(sound_tracks(), ElementsAre("3", "6"));
  fill(3, 8, "other");
  {
    const MergeReport report = IndexWriter::open(index()).merge(IndexStore::open(index("other")));
    EXPECT_EQ(report.added, 4);
    EXPECT_EQ(report.present, 2);
  }
  EXPECT_THAT(sound_tracks(), ElementsAre("3", "4", "5", "6", "7", "8"));
  EXPECT_THAT(sound_tracks("other"), ElementsAre("3", "4", "5", "6", "7", "8"));
}

TEST_F(LandmarkStore, ExcerptsComeAndGoWithTheirTracks) {
  const auto excerpt = [](int i, int number) {
    return random_landmarks(50 + i, static_cast<std::uint64_t>(9 + number));
  };
  const auto add = [&](IndexWriter& writer, int i, std::int64_t replaced = 0) {
    IndexWriter::Excerpts excerpts;
    for (int number = 0; number < 2; ++number) {
      excerpts.push_back(bytes_of(excerpt(i, number)));
    }
    const std::string name = std::to_string(i);
    replaced == 0 ? writer.add(track(name), rows_of(landmarks_of_track(i)), excerpts)
                  : writer.replace(replaced, track(name), rows_of(landmarks_of_track(i)), excerpts);
  };
  /// Names of the tracks that have any, all sound.
  const auto kept = [&](const std::string& name) {
    EXPECT_THAT(verify_index(index(name)), IsEmpty());
    const IndexStore store = IndexStore::open(index(name));
    std::vector<std::string> names;
    for (const LandmarkExcerpt& found : IndexWriter::open(index(name)).excerpts()) {
      names.push_back(store.track(found.track_id).path);
      EXPECT_EQ(found.landmarks, excerpt(std::stoi(names.back()), found.number)) << names.back();
    }
    return names;
  };
  {
    IndexWriter writer = create();
    for (int i = 1; i <= 4; ++i) {
      add(writer, i);
    }
    EXPECT_THAT(writer.excerpts(), IsEmpty()) << "not committed yet";
    writer.commit();
    writer.remove({2});
    add(writer, 6, 3);
    writer.add(track("7"), rows_of(landmarks_of_track(7)));
    writer.commit();
    IndexWriter other = create("other");
    add(other, 4);
    add(other, 5);
    other.commit();
  }
  EXPECT_THAT(kept("index"), ElementsAre("1", "4", "6", "1", "4", "6"));
  IndexWriter::open(index()).merge(IndexStore::open(index("other")));
  EXPECT_THAT(kept("index"), ElementsAre("1", "4", "5", "6", "1", "4", "5", "6"));
  EXPECT_THAT(sound_tracks(), ElementsAre("1", "4", "5", "6", "7"));
}

// First excerpts of all tracks, then second ones, by the content of the track: however they came.
TEST_F(LandmarkStore, OfManyExcerptsTheSameStayInAnyOrder) {
  constexpr int kMany = 230;
  const auto filled = [&](const std::string& name, bool backwards, int commit_every) {
    IndexWriter writer = create(name);
    for (int i = 0; i < kMany; ++i) {
      const int of = backwards ? kMany - 1 - i : i;
      Track entry = track(std::to_string(of));
      const std::string bytes = bytes_of(random_landmarks(5, static_cast<std::uint64_t>(of)));
      writer.add(entry, rows_of(random_landmarks(20, 1)), {bytes, bytes});
      if (i % commit_every == 0) {
        writer.commit();
      }
    }
    writer.commit();
    std::vector<std::string> kept;
    const IndexStore store = IndexStore::open(index(name));
    for (const LandmarkExcerpt& excerpt : writer.excerpts()) {
      kept.push_back(store.track(excerpt.track_id).path + " " + std::to_string(excerpt.number) +
                     bytes_of(excerpt.landmarks));
    }
    return kept;
  };
  const std::vector<std::string> one = filled("one", false, kMany);
  EXPECT_EQ(one.size(), 400U);
  EXPECT_EQ(filled("other", true, 60), one);
}

TEST_F(LandmarkStore, DamagedExcerptsAreFoundAndNamed) {
  {
    IndexWriter writer = create();
    writer.add(track("1"), rows_of(landmarks_of_track(1)), {bytes_of(random_landmarks(30, 1))});
    writer.commit();
  }
  Sqlite(index() / "catalogue.sqlite", Sqlite::Mode::write)
      .execute("UPDATE excerpts SET landmarks = zeroblob(length(landmarks))");
  EXPECT_THAT(verify_index(index()), ElementsAre(AllOf(HasSubstr("catalogue.sqlite"), HasSubstr("track 1"),
                                                       HasSubstr("an excerpt of landmarks is damaged (checksum)"))));
  EXPECT_THAT(problem_of([&] { static_cast<void>(IndexWriter::open(index()).excerpts()); }), HasSubstr("(checksum)"));
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 1U) << "to search it, they are not needed";
}

TEST_F(LandmarkStore, ManySmallSegmentsAreJoined) {
  fill(1, 40);
  EXPECT_EQ(sound_tracks().size(), 40U);
  EXPECT_LE(IndexStore::open(index()).database().blocks().size(), 16U);
}

TEST_F(LandmarkStore, WhatFitsNoIndexOfLandmarksIsRefused) {
  fill(1, 1);
  IndexFormat fingerprints;
  fingerprints.model_hash = "0123456789abcdef";
  fingerprints.dimension = 2;
  std::ofstream(folder_ / "model") << "not a real model: only copied here";
  EXPECT_THAT(problem_of([&] { IndexWriter::create(index(), folder_ / "model", fingerprints); }),
              AllOf(HasSubstr("an index of landmarks (density=100"), HasSubstr("not of fingerprints")));
  EXPECT_THAT(problem_of([&] { create("index", "default"); }), HasSubstr("not of landmarks (density=20 "));
  {
    IndexWriter writer = create();
    EXPECT_THAT(problem_of([&] { writer.add(track("2"), random_fingerprints(4, 2, 1)); }),
                HasSubstr("rows of f32 for an index of landmarks"));
    EXPECT_THAT(problem_of([&] { writer.add(track("2"), rows_of({})); }), HasSubstr("(0, 2)"));
  }
  IndexWriter other = IndexWriter::create(index("fingerprints"), folder_ / "model", fingerprints);
  EXPECT_THAT(problem_of([&] { other.add(track("1"), rows_of(landmarks_of_track(1))); }),
              HasSubstr("rows of i32 for an index of fingerprints"));
  EXPECT_THAT(problem_of([&] { other.merge(IndexStore::open(index())); }), HasSubstr("an index of fingerprints"));
  EXPECT_THAT(problem_of([&] { static_cast<void>(IndexStore::open(index()).lsh()); }),
              HasSubstr("an index of landmarks"));
  EXPECT_THAT(sound_tracks(), ElementsAre("1"));
}

TEST_F(LandmarkStore, DamageIsFoundAndNamed) {
  fill(1, 2);
  const fs::path file = index() / "segments" / "00000001.ear";
  const auto change = [&](std::streamoff at, char to) {
    std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(at);
    out.put(to);
  };
  change(4096 + 100, '\x7f');
  EXPECT_THAT(problem_of([&] { IndexStore::open(index()); }),
              AllOf(HasSubstr("00000001.ear"), HasSubstr("damaged (checksum)")));
  EXPECT_THAT(verify_index(index()), ElementsAre(HasSubstr("damaged (checksum)")));
  fs::resize_file(file, fs::file_size(file) - 8);
  EXPECT_THAT(problem_of([&] { IndexStore::open(index(), {.verify = false}); }), HasSubstr("the catalogue says"));
  fs::remove(file);
  EXPECT_THAT(verify_index(index()), ElementsAre(HasSubstr("00000001.ear")));
}

TEST_F(LandmarkStore, DamagedOptionsAreFoundAndNamed) {
  fill(1, 2);
  for (const std::string text : {"", "density=", "density=20 spread=30"}) {
    {
      Sqlite connection(index() / "catalogue.sqlite", Sqlite::Mode::write);
      Statement(connection, "UPDATE format SET value = ? WHERE key = 'landmarks'")
          .bind(1, std::string_view(text))
          .run();
    }
    EXPECT_THAT(problem_of([&] { IndexStore::open(index()); }), HasSubstr("landmarks: "));
    EXPECT_THAT(verify_index(index()), ElementsAre(HasSubstr("landmarks: ")));
  }
}

}  // namespace
}  // namespace earmark::search
