// The program `index` as several processes: what they make together is what one makes.
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <system_error>
#include <thread>

#include "kernels/file_lock.h"
#include "kernels/random.h"
#include "search/index_store.h"
#include "tests/compare_tensors.h"
#include "tests/ranks.h"
#include "tests/search/index_program.h"

namespace earmark::search {
namespace {

using ::testing::AllOf;
using ::testing::StartsWith;

class IndexRanksWhole : public IndexProgram {
 protected:
  using Programs = std::vector<std::unique_ptr<Program>>;

  static Programs start(int size, const std::vector<std::string>& arguments) {
    return programs_as_ranks("index", size, with_one_thread(arguments));
  }
  /// The music, a copy of its last track, which comes early, and what is no music.
  void make_bad_files() const {
    fs::copy_file(track(kTracks - 1), composed_.music() / "copy.wav");
    write_bytes(composed_.music() / "broken.wav", "no music");
  }
  static std::set<std::string> committed_files(const fs::path& index) {
    std::set<std::string> out;
    std::error_code gone;
    for (fs::directory_iterator at(index / "segments", gone), end; !gone && at != end; at.increment(gone)) {
      if (at->path().extension() == ".ear") {
        out.insert(at->path().filename().string());
      }
    }
    return out;
  }
  std::size_t listed_so_far(const fs::path& index) const {
    return fs::exists(index / "catalogue.sqlite") ? listed(index).size() : 0;
  }
  std::string list_of(const fs::path& index) const { return run({"list", index.string(), "--json"}).out; }
  /// Up to how long it took.
  static std::string counts_in(const std::string& report) { return report.substr(0, report.find(';')); }

  /// The lines about files; those about progress come with time.
  static std::string complaints_in(const std::string& err) {
    std::istringstream lines(err);
    std::string complaints;
    for (std::string line; std::getline(lines, line);) {
      complaints += line.starts_with("skipped ") || line.starts_with("damaged ") ? line + "\n" : "";
    }
    return complaints;
  }

  void expect_same(const fs::path& index, const fs::path& expected) const {
    expect_sound(index);
    EXPECT_EQ(list_of(index), list_of(expected));
    const IndexStore store = IndexStore::open(index);
    const IndexStore other = IndexStore::open(expected);
    ASSERT_EQ(store.database().rows(), other.database().rows());
    EXPECT_TRUE(earmark::testing::same_bits(store.database().widened(0, store.database().rows()),
                                            other.database().widened(0, other.database().rows())));
    ASSERT_EQ(store.calibration().has_value(), other.calibration().has_value());
    if (store.calibration()) {
      EXPECT_EQ(to_json(*store.calibration()), to_json(*other.calibration()));
    }
    for (const std::string& file : files_in(index / "segments")) {
      EXPECT_TRUE(file.ends_with(".ear")) << file;
    }
  }
  /// Every row, and its scale where it has one.
  static std::string bytes_of_rows(const fs::path& index) {
    std::string bytes;
    const IndexStore store = IndexStore::open(index);
    for (const Block& block : store.database().blocks()) {
      for (std::int64_t row = 0; row < block.stored.rows.dim(0); ++row) {
        const kernels::StoredRows one = block.stored.slice(row, row + 1);
        bytes.append(reinterpret_cast<const char*>(one.rows.raw()), one.rows.bytes());
        if (one.scales) {
          bytes.append(reinterpret_cast<const char*>(one.scales.raw()), one.scales.bytes());
        }
      }
    }
    return bytes;
  }
  static std::vector<std::string> excerpts_in(const fs::path& index) {
    std::vector<std::string> bytes;
    for (const LandmarkExcerpt& excerpt : IndexWriter::open(index).excerpts()) {
      bytes.push_back(str(excerpt.track_id, ' ', excerpt.number, ' ') + bytes_of(excerpt.landmarks));
    }
    return bytes;
  }
  static std::string calibration_of(const fs::path& index) {
    const IndexStore store = IndexStore::open(index);
    return store.calibration() ? to_json(*store.calibration()) : "";
  }
  /// Runs as `size` ranks, of which rank 0 alone speaks, and says what `one` process said.
  static void run_like(const Ended& one, int size, const std::vector<std::string>& arguments) {
    const Programs ranks = start(size, arguments);
    for (const std::unique_ptr<Program>& rank : ranks) {
      EXPECT_EQ(rank->wait(), one.code) << rank->err();
    }
    EXPECT_EQ(counts_in(ranks[0]->out()), counts_in(one.out));
    EXPECT_EQ(complaints_in(ranks[0]->err()), complaints_in(one.err));
    for (std::size_t r = 1; r < ranks.size(); ++r) {
      EXPECT_EQ(ranks[r]->out() + ranks[r]->err(), "") << "rank 0 speaks for all";
    }
  }
};

TEST_F(IndexRanksWhole, BuildsAndAddsWhatOneProcessDoes) {
  make_bad_files();
  const fs::path one = composed_.folder / "one";
  const Ended built = build(one, {composed_.music()});
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.err, AllOf(HasSubstr("skipped broken.wav"), HasSubstr("skipped track-3.wav: the same content")));
  const auto of_ranks = [&](int size) { return composed_.folder / ("of " + std::to_string(size)); };
  for (const int size : {2, 3}) {
    run_like(built, size, build_arguments(of_ranks(size), {composed_.music()}));
    expect_same(of_ranks(size), one);
  }
  // What is new, changed, renamed and as it was; the same segments to begin with, since what is left of one moves.
  fs::remove_all(of_ranks(3));
  fs::copy(one, of_ranks(3), fs::copy_options::recursive);
  fs::rename(track(0), composed_.music() / "renamed.wav");
  data::write_wav(track(1), composed_.part(2, 1, 4));
  data::write_wav(composed_.music() / "a new one.wav", composed_.part(1, 2, 3));
  const Ended added = run({"add", one.string(), composed_.music().string()});
  EXPECT_THAT(added.out, StartsWith("added 1, replaced 1, renamed 1, unchanged "));
  run_like(added, 3, {"add", of_ranks(3).string(), composed_.music().string()});
  expect_same(of_ranks(3), one);
}

TEST_F(IndexRanksWhole, MoreRanksThanFilesAndOtherKindsOfRows) {
  fs::copy_file(track(0), composed_.folder / "again.wav");
  const std::vector<std::string> files{track(0).string(), track(1).string(), (composed_.folder / "again.wav").string()};
  int number = 0;
  for (const std::vector<std::string>& kind : {std::vector<std::string>{"--method", "landmark"},
                                               {"--model", composed_.model().string(), "--precision", "int8"}}) {
    const auto arguments = [&](const std::string& name) {
      std::vector<std::string> all{"build", (composed_.folder / (name + std::to_string(number))).string()};
      all.insert(all.end(), kind.begin(), kind.end());
      all.insert(all.end(), files.begin(), files.end());
      return all;
    };
    const Ended one = run(arguments("one"));
    ASSERT_EQ(one.code, 0) << one.err;
    run_like(one, 4, arguments("four"));
    EXPECT_EQ(list_of(arguments("four")[1]), list_of(arguments("one")[1]));
    expect_sound(arguments("four")[1]);
    EXPECT_EQ(bytes_of_rows(arguments("four")[1]), bytes_of_rows(arguments("one")[1]));
    EXPECT_EQ(excerpts_in(arguments("four")[1]), excerpts_in(arguments("one")[1]));
    EXPECT_EQ(excerpts_in(arguments("one")[1]).size(), number == 0 ? 2U : 0U) << "of tracks that are no copies";
    EXPECT_EQ(calibration_of(arguments("four")[1]), calibration_of(arguments("one")[1]));
    ++number;
  }
}

TEST_F(IndexRanksWhole, ARankThatDiesEndsAllAndTheIndexStaysAsItWas) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const std::string before = list_of(index_);
  const fs::path pipe = composed_.folder / "pipe.wav";  // who reads it waits for ever
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::vector<std::string> arguments{"add", index_.string(), track(1).string(), track(2).string(), pipe.string()};
  const auto has_part_of = [&](int rank) {
    return [&, rank] {
      const std::string end = "-" + std::to_string(rank) + "-0.part";
      const std::set<std::string> files = files_in(index_ / "segments");
      return std::ranges::any_of(files, [&](const std::string& file) { return file.ends_with(end); });
    };
  };
  const Programs ranks = start(3, arguments);
  ASSERT_TRUE(ranks[0]->wait_until(has_part_of(0))) << ranks[0]->err();
  ASSERT_TRUE(ranks[1]->wait_until(has_part_of(1))) << ranks[1]->err();
  ranks[2]->kill(SIGKILL);
  EXPECT_EQ(ranks[2]->wait(), -SIGKILL);
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_THAT(ranks[0]->err() + ranks[1]->err(), HasSubstr("rank 2 of 3 has ended"));
  EXPECT_THAT(ranks[0]->err(), HasSubstr("keeps the 1 tracks that were committed before"));
  expect_sound(index_);
  EXPECT_EQ(list_of(index_), before);
  {
    const Programs all = start(3, arguments);  // all of them die: their files stay
    ASSERT_TRUE(all[0]->wait_until(has_part_of(0))) << all[0]->err();
    for (const std::unique_ptr<Program>& rank : all) {
      rank->kill(SIGKILL);
      EXPECT_EQ(rank->wait(), -SIGKILL);
    }
  }
  EXPECT_TRUE(has_part_of(0)());
  expect_sound(index_);
  EXPECT_EQ(run({"add", index_.string(), track(1).string()}).code, 0);
  EXPECT_FALSE(has_part_of(0)());
  expect_sound(index_);
}

TEST_F(IndexRanksWhole, LaunchBuildsWhatOneProcessDoes) {
  const fs::path one = composed_.folder / "one";
  ASSERT_EQ(build(one, {composed_.music()}).code, 0);
  std::vector<std::string> launched{"--nproc-per-node", "2", "index"};
  for (const std::string& argument : build_arguments(index_, {composed_.music()})) {
    launched.push_back(argument);
  }
  const Ended ended = earmark::testing::run("launch", launched);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("[rank 0] added 4, "));
  expect_same(index_, one);
}

/// More files than are indexed together: several commits, as of one process.
TEST_F(IndexRanksWhole, ManyFilesAreCommittedInPartsAndTheSame) {
  const fs::path music = many_files(60);
  const fs::path one = composed_.folder / "one";
  const Ended built = build(one, {music});
  ASSERT_EQ(built.code, 0) << built.err;
  run_like(built, 2, build_arguments(index_, {music}));
  expect_same(index_, one);
  EXPECT_GE(IndexStore::open(index_).database().blocks().size(), 4U) << "two ranks, two commits or more";
}

TEST_F(IndexRanksWhole, KilledInTheMiddleItKeepsWhatWasCommittedAndGoesOn) {
  constexpr std::size_t kFiles = 60;
  const fs::path music = many_files(kFiles);
  const fs::path one = composed_.folder / "one";
  ASSERT_EQ(build(one, {music}).code, 0);
  const std::vector<std::string> expected = listed(one);
  const auto segments = [&] {
    std::error_code none;
    return fs::exists(index_ / "segments", none) ? committed_files(index_).size() : 0;
  };
  RandomStream random(17);
  int in_the_middle = 0;
  for (int round = 0; round < 8 || in_the_middle == 0; ++round) {
    if (round % 4 == 0 || listed_so_far(index_) == kFiles) {
      fs::remove_all(index_);
    }
    const std::size_t before = listed_so_far(index_);
    const std::size_t files = segments();
    const Programs ranks = start(2, build_arguments(index_, {music}));
    if (round % 2 == 0) {  // as soon as a commit is about to be made; else at any moment after the beginning
      ranks[0]->wait_until([&] { return segments() > files; });
    } else {
      ranks[0]->wait_until([&] { return fs::exists(index_ / "catalogue.sqlite"); });
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(random.uniform(0, 0.05)));
    const std::size_t victim = random.below(2);
    ranks[victim]->kill(SIGKILL);
    ranks[victim]->wait();
    if (round % 2 == 1) {  // it may not have come to the other one, which would wait for it
      ranks[1 - victim]->kill(SIGKILL);
    }
    ranks[1 - victim]->wait();
    const std::vector<std::string> kept = listed(index_);
    expect_sound(index_);
    EXPECT_GE(kept.size(), before);
    EXPECT_TRUE(std::equal(kept.begin(), kept.end(), expected.begin())) << "the first ones";
    in_the_middle += !kept.empty() && kept.size() < kFiles ? 1 : 0;
  }
  const Programs ranks = start(2, build_arguments(index_, {music}));
  EXPECT_EQ(ranks[0]->wait(), 0) << ranks[0]->err();
  EXPECT_EQ(ranks[1]->wait(), 0) << ranks[1]->err();
  expect_same(index_, one);
}

TEST_F(IndexRanksWhole, ARankThatHangsEndsTheOthersInTime) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const std::string before = list_of(index_);
  const fs::path pipe = composed_.folder / "pipe.wav";  // who reads it waits for ever
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const Programs ranks =
      start(3, {"add", index_.string(), track(1).string(), track(2).string(), pipe.string(), "--rank-timeout", "4"});
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_THAT(ranks[0]->err() + ranks[1]->err(),
              HasSubstr("rank 2 of 3 answers, but has got nowhere for 4 s: it hangs"));
  ranks[2]->kill(SIGKILL);
  EXPECT_EQ(ranks[2]->wait(), -SIGKILL);
  expect_sound(index_);
  EXPECT_EQ(list_of(index_), before);
}

/// Another process writes to the index for longer than ranks wait for one that hangs.
TEST_F(IndexRanksWhole, WhoWaitsForAnotherWriterDoesNotHang) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  auto lock = std::make_unique<FileLock>(index_ / "lock", [] {});
  const Programs ranks = start(2, {"add", index_.string(), track(1).string(), "--rank-timeout", "4"});
  ASSERT_TRUE(ranks[0]->wait_until([&] { return ranks[0]->err().find("waiting") != std::string::npos; }));
  std::this_thread::sleep_for(std::chrono::seconds(6));
  lock.reset();
  EXPECT_EQ(ranks[0]->wait(), 0) << ranks[0]->err();
  EXPECT_EQ(ranks[1]->wait(), 0) << ranks[1]->err();
  EXPECT_EQ(listed(index_).size(), 2U);
}

TEST_F(IndexRanksWhole, WhatRankZeroRefusesEndsAll) {
  const Programs ranks = start(2, {"add", (composed_.folder / "nowhere").string(), track(0).string()});
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_THAT(ranks[0]->err(), HasSubstr("not an index"));
  EXPECT_THAT(ranks[1]->err(), HasSubstr("another rank has failed"));
}

}  // namespace
}  // namespace earmark::search
