#include "search/index_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "nn/model.h"
#include "search/index_writer.h"
#include "search/sqlite.h"
#include "tests/program.h"
#include "tests/search/planted.h"
#include "tests/test_support.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class IndexStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { std::ofstream(model()) << "not a real model: only copied here"; }

  fs::path model() const { return folder_ / "m.safetensors"; }
  fs::path index() const { return folder_ / "index"; }
  static IndexFormat format(Precision precision = Precision::fp32) {
    IndexFormat format;
    format.model_hash = "0123456789abcdef";
    format.dimension = 16;
    format.precision = precision;
    return format;
  }
  IndexWriter create(Precision precision = Precision::fp32) const {
    return IndexWriter::create(index(), model(), format(precision));
  }
  static Track track(const std::string& name) {
    Track track;
    track.path = name;
    track.folder = "/music";
    track.duration_s = 12.5;
    track.title = "Title of " + name;
    track.artist = "Artist";
    track.content_hash = "hash of " + name;
    return track;
  }
  static Tensor fingerprints(std::uint64_t seed, std::int64_t rows = 20) { return random_fingerprints(rows, 16, seed); }
  /// Tracks 1.wav, 2.wav, ..., each committed on its own: one segment each.
  void fill(int tracks) const {
    IndexWriter writer = create();
    for (int i = 1; i <= tracks; ++i) {
      writer.add(track(std::to_string(i) + ".wav"), fingerprints(static_cast<std::uint64_t>(i)));
      writer.commit();
    }
  }
  std::vector<fs::path> segment_files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(index() / "segments")) {
      files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  static void expect_rows(const IndexStore& store, const Track& track, const Tensor& expected, double tolerance = 0) {
    const Tensor rows = store.database().widened(track.first_row, track.first_row + track.rows);
    ASSERT_EQ(rows.shape(), expected.shape());
    for (std::int64_t i = 0; i < rows.numel(); ++i) {
      ASSERT_NEAR(rows.data<float>()[i], expected.data<float>()[i], tolerance);
    }
  }

  testing::TemporaryFolder folder_;
};

TEST_F(IndexStoreTest, KeepsTracksAndFingerprints) {
  for (const Precision precision : {Precision::fp32, Precision::fp16, Precision::int8}) {
    fs::remove_all(index());
    {
      IndexWriter writer = create(precision);
      writer.add(track("a.wav"), fingerprints(1));
      writer.add(track("b/c.wav"), fingerprints(2, 31));
      writer.commit();
      writer.add(track("d.wav"), fingerprints(3, 7));
      writer.commit();
    }
    const IndexStore store = IndexStore::open(index());
    ASSERT_EQ(store.tracks().size(), 3U);
    EXPECT_EQ(store.database().rows(), 58);
    EXPECT_EQ(store.database().blocks().size(), 2U);
    EXPECT_EQ(store.format().precision, precision);
    const Track& second = store.tracks()[1];
    EXPECT_EQ(second.path, "b/c.wav");
    EXPECT_EQ(second.folder, "/music");
    EXPECT_EQ(second.title, "Title of b/c.wav");
    EXPECT_EQ(second.artist, "Artist");
    EXPECT_EQ(second.duration_s, 12.5);
    EXPECT_EQ(second.content_hash, "hash of b/c.wav");
    const double tolerance = precision == Precision::fp32 ? 0 : precision == Precision::fp16 ? 1e-3 : 5e-3;
    expect_rows(store, second, fingerprints(2, 31), tolerance);
    expect_rows(store, store.tracks()[2], fingerprints(3, 7), tolerance);
  }
}

TEST_F(IndexStoreTest, NamesAreBytes) {
  const std::vector<std::string> names = {"with space.wav",      "quote\"'`.wav",    "new\nline.wav", "tab\t.wav",
                                          "latin1-\xe9\xff.wav", "\xe2\x82\xac.wav", "$(rm -rf).wav"};
  {
    IndexWriter writer = create();
    for (std::size_t i = 0; i < names.size(); ++i) {
      writer.add(track(names[i]), fingerprints(i));
    }
    writer.commit();
  }
  const IndexStore store = IndexStore::open(index());
  ASSERT_EQ(store.tracks().size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(store.tracks()[i].path, names[i]);
  }
}

TEST_F(IndexStoreTest, WhatIsNotCommittedIsNotThere) {
  {
    IndexWriter writer = create();
    writer.add(track("a.wav"), fingerprints(1));
    writer.commit();
    writer.add(track("b.wav"), fingerprints(2));
  }
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 1U);
}

TEST_F(IndexStoreTest, RemovingRewritesWhatStays) {
  fill(3);
  {
    IndexWriter writer = create();
    writer.add(track("4.wav"), fingerprints(4));
    writer.add(track("5.wav"), fingerprints(5));
    writer.commit();
    writer.remove({2, 4});
  }
  const IndexStore store = IndexStore::open(index());
  ASSERT_EQ(store.tracks().size(), 3U);
  EXPECT_EQ(store.database().rows(), 60);
  for (const Track& track : store.tracks()) {
    expect_rows(store, track, fingerprints(static_cast<std::uint64_t>(std::stoi(track.path))));
  }
  EXPECT_EQ(segment_files().size(), store.database().blocks().size()) << "old segment files stay behind";
  EXPECT_THROW(create().remove({2}), Error);
}

TEST_F(IndexStoreTest, RemovingEverythingLeavesAnEmptyIndex) {
  fill(2);
  create().remove({1, 2});
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 0U);
  EXPECT_EQ(IndexStore::open(index()).database().rows(), 0);
  create().add(track("1.wav"), fingerprints(1));
}

TEST_F(IndexStoreTest, ReplacingHappensInOneCommit) {
  fill(2);
  {
    IndexWriter writer = create();
    Track changed = track("1.wav");
    changed.content_hash = "other";
    writer.replace(1, changed, fingerprints(9));
    EXPECT_EQ(IndexStore::open(index()).track(1).content_hash, "hash of 1.wav");
    writer.commit();
  }
  const IndexStore store = IndexStore::open(index());
  ASSERT_EQ(store.tracks().size(), 2U);
  EXPECT_THROW(store.track(1), Error);
  const Track& replaced = store.tracks()[1];
  EXPECT_EQ(replaced.path, "1.wav");
  expect_rows(store, replaced, fingerprints(9));
}

TEST_F(IndexStoreTest, RefusesTheSameTwice) {
  IndexWriter writer = create();
  writer.add(track("a.wav"), fingerprints(1));
  EXPECT_THROW(writer.add(track("a.wav"), fingerprints(1)), Error);
  Track same_path = track("a.wav");
  same_path.content_hash = "other";
  EXPECT_THROW(writer.add(same_path, fingerprints(1)), Error);
  EXPECT_THROW(writer.add(track("b.wav"), random_fingerprints(3, 17, 1)), Error);
}

TEST_F(IndexStoreTest, ManySmallSegmentsAreJoined) {
  fill(20);
  const IndexStore store = IndexStore::open(index());
  EXPECT_LT(store.database().blocks().size(), 10U);
  ASSERT_EQ(store.tracks().size(), 20U);
  for (const Track& track : store.tracks()) {
    expect_rows(store, track, fingerprints(static_cast<std::uint64_t>(std::stoi(track.path))));
  }
}

TEST_F(IndexStoreTest, MergeTakesWhatIsNew) {
  fill(3);
  const fs::path other = folder_ / "other";
  {
    IndexWriter writer = IndexWriter::create(other, model(), format());
    writer.add(track("3.wav"), fingerprints(3));
    writer.add(track("7.wav"), fingerprints(7));
    Track conflict = track("1.wav");
    conflict.content_hash = "other content";
    writer.add(conflict, fingerprints(8));
    writer.commit();
  }
  const MergeReport report = create().merge(IndexStore::open(other));
  EXPECT_EQ(report.added, 1);
  EXPECT_EQ(report.present, 1);
  EXPECT_EQ(report.conflicts, std::vector<std::string>{"1.wav"});
  const IndexStore store = IndexStore::open(index());
  ASSERT_EQ(store.tracks().size(), 4U);
  expect_rows(store, store.tracks()[3], fingerprints(7));
}

TEST_F(IndexStoreTest, RefusesAnotherModelHopOrPrecision) {
  fill(1);
  IndexFormat other = format();
  other.model_hash = "ffff";
  EXPECT_THROW(IndexWriter::create(index(), model(), other), Error);
  other = format();
  other.hop_samples = 800;
  EXPECT_THROW(IndexWriter::create(index(), model(), other), Error);
  EXPECT_THROW(create(Precision::int8), Error);
  EXPECT_NO_THROW(create());
}

TEST_F(IndexStoreTest, RefusesFoldersThatAreNoIndex) {
  EXPECT_THROW(IndexStore::open(folder_ / "nothing"), Error);
  EXPECT_THROW(IndexStore::open(model()), Error);
  fs::create_directories(index());
  EXPECT_THROW(IndexStore::open(index()), Error);
  EXPECT_THROW(IndexWriter::open(index()), Error);
  std::ofstream(index() / "diary.txt") << "mine";
  EXPECT_THROW(create(), Error);
  EXPECT_TRUE(fs::exists(index() / "diary.txt"));
  EXPECT_THROW(IndexWriter::create(folder_ / "new", folder_ / "no model", format()), Error);
}

TEST_F(IndexStoreTest, CreationThatWasCutOffIsCompleted) {
  fs::create_directories(index() / "segments");
  std::ofstream(index() / "model.safetensors") << "half";
  std::ofstream(index() / "catalogue.sqlite.new") << "half";
  create().add(track("a.wav"), fingerprints(1));
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 0U);
  EXPECT_EQ(fs::file_size(index() / "model.safetensors"), fs::file_size(model()));
}

TEST_F(IndexStoreTest, FilesOfAWriterThatDiedAreRemoved) {
  fill(1);
  std::ofstream(index() / "segments" / "00000002.ear") << "orphan";
  std::ofstream(index() / "segments" / "00000003.ear.tmp") << "orphan";
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 1U);
  {
    IndexWriter writer = create();
    EXPECT_EQ(segment_files().size(), 1U);
    writer.add(track("b.wav"), fingerprints(2));
    writer.commit();
  }
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 2U);
}

TEST_F(IndexStoreTest, KilledWriterLosesOnlyWhatWasNotCommitted) {
  fill(1);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    IndexWriter writer = create();
    writer.add(track("b.wav"), fingerprints(2));
    writer.commit();
    writer.add(track("c.wav"), fingerprints(3));
    static_cast<void>(write(ready[1], "x", 1));
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 2U);
  create().add(track("c.wav"), fingerprints(3));  // the lock went with the process
}

TEST_F(IndexStoreTest, TwoWritersWaitForEachOther) {
  fill(1);
  std::vector<std::string> messages;
  auto first = std::make_unique<IndexWriter>(create());
  std::thread second([&] {
    IndexWriter writer = IndexWriter::open(index(), [&](const std::string& text) { messages.push_back(text); });
    writer.add(track("second.wav"), fingerprints(3));
    writer.commit();
  });
  first->add(track("first.wav"), fingerprints(2));
  first->commit();
  first.reset();
  second.join();
  EXPECT_LE(messages.size(), 1U);
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 3U);
}

TEST_F(IndexStoreTest, SecondWriterSaysThatItWaits) {
  fill(1);
  auto first = std::make_unique<IndexWriter>(create());
  std::string message;
  std::thread second([&] {
    IndexWriter::open(index(), [&](const std::string& text) {
      message = text;
      first.reset();  // it had to wait: let it go on
    });
  });
  second.join();
  EXPECT_THAT(message, HasSubstr("waiting"));
}

TEST_F(IndexStoreTest, ReaderKeepsItsStateWhileAWriterChangesIt) {
  fill(3);
  const IndexStore before = IndexStore::open(index());
  create().remove({1, 2});
  expect_rows(before, before.tracks()[0], fingerprints(1));
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 1U);
  EXPECT_NE(before.content_key(), IndexStore::open(index()).content_key());
}

TEST_F(IndexStoreTest, DamagedSegmentsAreNamed) {
  fill(2);
  const fs::path segment = segment_files()[1];
  const auto size = fs::file_size(segment);
  std::fstream(segment, std::ios::in | std::ios::out | std::ios::binary).seekp(4200).put('?');
  try {
    IndexStore::open(index());
    FAIL() << "a damaged segment was read";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(segment.filename().string()));
    EXPECT_THAT(error.what(), HasSubstr("damaged"));
  }
  EXPECT_THAT(verify_index(index()), ::testing::Contains(HasSubstr(segment.filename().string())));
  fs::resize_file(segment, size - 1);
  EXPECT_THROW(IndexStore::open(index(), {false}), Error);
  fs::resize_file(segment, 100);
  EXPECT_THROW(IndexStore::open(index(), {false}), Error);
  fs::resize_file(segment, 0);
  EXPECT_THROW(IndexStore::open(index(), {false}), Error);
  fs::remove(segment);
  EXPECT_THROW(IndexStore::open(index(), {false}), Error);
  EXPECT_THAT(verify_index(index()), ::testing::Contains(HasSubstr(segment.filename().string())));
}

TEST_F(IndexStoreTest, SwappedSegmentsAreNoticed) {
  fill(2);
  const auto files = segment_files();
  fs::rename(files[0], folder_ / "x");
  fs::rename(files[1], files[0]);
  fs::rename(folder_ / "x", files[1]);
  EXPECT_THROW(IndexStore::open(index(), {false}), Error);
}

TEST_F(IndexStoreTest, DamagedCatalogueIsAnError) {
  fill(2);
  const fs::path catalogue = index() / "catalogue.sqlite";
  const auto size = fs::file_size(catalogue);
  for (const std::uintmax_t keep : {std::uintmax_t{0}, std::uintmax_t{100}, size / 2}) {
    fs::copy_file(catalogue, folder_ / "copy", fs::copy_options::overwrite_existing);
    fs::resize_file(catalogue, keep);
    EXPECT_THROW(IndexStore::open(index()), Error) << keep;
    EXPECT_FALSE(verify_index(index()).empty());
    fs::copy_file(folder_ / "copy", catalogue, fs::copy_options::overwrite_existing);
  }
  std::ofstream(catalogue, std::ios::binary) << std::string(8192, 'x');
  EXPECT_THROW(IndexStore::open(index()), Error);
  EXPECT_THAT(verify_index(index()), ::testing::Contains(HasSubstr("catalogue.sqlite")));
}

TEST_F(IndexStoreTest, CatalogueThatDoesNotFitItsSegmentsIsAnError) {
  fill(2);
  {
    Sqlite connection(index() / "catalogue.sqlite", Sqlite::Mode::write);
    connection.execute("UPDATE tracks SET rows = rows + 1 WHERE id = 1");
  }
  EXPECT_THROW(IndexStore::open(index()), Error);
  EXPECT_THAT(verify_index(index()), ::testing::Contains(HasSubstr("catalogue")));
}

TEST_F(IndexStoreTest, VerifyReadsTheModelToo) {
  FeatureOptions features;
  nn::EncoderOptions options;
  options.width = 2;
  const nn::Model tiny = nn::make_model(features, options);
  nn::save_model(model(), tiny);
  IndexFormat real = format();
  real.model_hash = nn::model_hash(tiny);
  IndexWriter::create(index(), model(), real);
  EXPECT_THAT(verify_index(index()), ::testing::IsEmpty());
  nn::save_model(index() / "model.safetensors", nn::make_model(features, options, 2));
  EXPECT_THAT(verify_index(index()), ::testing::ElementsAre(HasSubstr("not the model")));
  fs::resize_file(index() / "model.safetensors", 1000);
  EXPECT_THAT(verify_index(index()), ::testing::ElementsAre(HasSubstr("model.safetensors")));
}

TEST_F(IndexStoreTest, FullDiskLeavesTheLastState) {
  fill(1);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{16384, 16384};  // no file may grow beyond: what a full disk looks like
    setrlimit(RLIMIT_FSIZE, &limit);
    int code = 0;
    try {
      IndexWriter writer = create();
      writer.add(track("big.wav"), fingerprints(2, 1000));
      writer.commit();
    } catch (const Error&) {
      code = 7;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 1U);
  {
    IndexWriter writer = create();
    writer.add(track("big.wav"), fingerprints(2, 1000));
    writer.commit();
  }
  EXPECT_EQ(IndexStore::open(index()).tracks().size(), 2U);
}

TEST_F(IndexStoreTest, ReadOnlyFolder) {
  EXPECT_THROW(IndexWriter::create("/proc/earmark-index", model(), format()), Error);
  fill(1);
  constexpr auto kMayRead =
      fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec;
  fs::permissions(folder_.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  fs::permissions(index(), kMayRead);
  const std::string problem = testing::problem_as_nobody([&]() -> std::string {
    const IndexStore store = IndexStore::open(index());
    const LshIndex lsh = store.lsh({4, 8, 1, 10, 1, 0, 0});  // cannot be kept, and is as good
    const Tensor query = fingerprints(1).slice(5, 6);
    if (store.tracks().size() != 1 || lsh.search(store.database(), query, 1).indices.data<std::int64_t>()[0] != 5) {
      return "what may be read is not found";
    }
    try {
      create().remove({1});
    } catch (const Error& error) {
      return std::string(error.what()).find("Permission denied") != std::string::npos ? "" : error.what();
    }
    return "the folder was written to";
  });
  EXPECT_EQ(problem, "");
  fs::permissions(index(), fs::perms::owner_all);
}

TEST_F(IndexStoreTest, HashTablesFollowTheContent) {
  fill(2);
  const LshOptions options{4, 8, 1, 1024, 1, 0, 0};
  const Tensor query = fingerprints(3).slice(5, 6);
  const auto nearest = [&] {
    const IndexStore store = IndexStore::open(index());
    return store.lsh(options).search(store.database(), query, 1).indices.data<std::int64_t>()[0];
  };
  EXPECT_LT(nearest(), 40);
  EXPECT_TRUE(fs::exists(index() / "lsh.cache"));
  {
    IndexWriter writer = create();
    writer.add(track("3.wav"), fingerprints(3));
    writer.commit();
  }
  EXPECT_EQ(nearest(), 45);
  fs::resize_file(index() / "lsh.cache", 100);
  EXPECT_EQ(nearest(), 45);
}

TEST_F(IndexStoreTest, CalibrationIsKept) {
  fill(1);
  EXPECT_FALSE(IndexStore::open(index()).calibration().has_value());
  create().set_calibration({{{1, 0.5}, {41, 0.25}}, 0.01, "test"});
  const auto calibration = IndexStore::open(index()).calibration();
  ASSERT_TRUE(calibration.has_value());
  EXPECT_EQ(calibration->points.size(), 2U);
  EXPECT_DOUBLE_EQ(calibration->threshold(1), 0.5);
  EXPECT_DOUBLE_EQ(calibration->threshold(100), 0.25);
  EXPECT_GT(calibration->threshold(10), 0.25);
  EXPECT_LT(calibration->threshold(10), 0.5);
}

}  // namespace
}  // namespace earmark::search
