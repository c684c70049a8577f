// An index whose `remove`, `merge` or joining of segments is killed: it is as it was before or as it is afterwards.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <system_error>
#include <thread>

#include "kernels/random.h"
#include "tests/search/index_program.h"

namespace earmark::search {
namespace {

using Clock = std::chrono::steady_clock;

class IndexKillWhole : public IndexProgram {
 protected:
  /// An index of pieces [first, last) of many_files(), one commit, and so one segment, for every so many of them.
  void make(const fs::path& index, int first, int last, int in_a_segment) const {
    const fs::path folder = many_files(kPieces);
    const nn::Model model = nn::load_model(composed_.model());
    IndexWriter writer =
        IndexWriter::create(index, composed_.model(), format_of(model, 0, Precision::fp32, ScaleMode::row));
    const nn::Fingerprinter fingerprinter(nn::load_model(composed_.model()));
    for (int i = first; i < last; i += in_a_segment) {
      std::vector<AudioSource> sources;
      for (int j = i; j < std::min(last, i + in_a_segment); ++j) {
        sources.push_back({folder / piece(j), folder.string(), piece(j), "", ""});
      }
      add_audio(writer, sources, [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm); });
    }
  }
  static std::string piece(int i) { return "piece-" + std::to_string(i) + ".wav"; }

  /// What an index holds: its tracks by their paths, and how many segment files there are.
  struct State {
    std::set<std::string> paths;
    std::size_t segments = 0;
    bool operator==(const State&) const = default;
  };
  static State state_of(const fs::path& index) {
    State state;
    const IndexStore store = IndexStore::open(index);  // compares checksums
    for (const Track& track : store.tracks()) {
      state.paths.insert(track.path);
    }
    state.segments = store.database().blocks().size();
    return state;
  }

  /// Kills `index ARGUMENTS...` over and over, each time on a copy of the index `index_`: at random moments, and as
  /// soon as it has begun to write. Whatever the moment, the index is sound and `before`, or `after`, or a state
  /// `between`; then the same command does its work.
  void expect_to_survive(const std::vector<std::string>& arguments, const State& after,
                         const std::vector<State>& between = {}) const {
    const fs::path base = composed_.folder / "base";
    fs::copy(index_, base, fs::copy_options::recursive);
    const State before = state_of(base);
    const auto begun = Clock::now();
    ASSERT_EQ(run(arguments).code, 0);
    const std::chrono::duration<double> whole = Clock::now() - begun;
    EXPECT_EQ(state_of(index_), after);
    RandomStream random(11);
    int killed = 0;
    int undone = 0;
    for (int round = 0; round < kRounds; ++round) {
      fs::remove_all(index_);
      fs::copy(base, index_, fs::copy_options::recursive);
      killed +=
          kill_once(arguments, round % 3 == 0 ? whole * random.uniform(0, 1) : -whole * random.uniform(0, 0.2)) ? 1 : 0;
      EXPECT_THAT(verify_index(index_), ::testing::IsEmpty());
      const State found = state_of(index_);
      undone += found == before ? 1 : 0;
      EXPECT_TRUE(found == before || found == after || std::count(between.begin(), between.end(), found) > 0)
          << found.paths.size() << " tracks in " << found.segments << " segments";
    }
    EXPECT_GT(killed, 0);
    EXPECT_GT(undone, 0) << "not once was it killed before it was done";
    const Ended again = run(arguments);
    EXPECT_THAT(again.code, ::testing::AnyOf(0, 1)) << again.err;  // 1: what is to be removed is gone already
    EXPECT_EQ(state_of(index_), after);
    expect_sound(index_);
    EXPECT_EQ(files_in(index_ / "segments").size(), after.segments) << "what no catalogue names is removed";
    for (const std::string& file : files_in(index_)) {
      EXPECT_THAT(file, ::testing::Not(HasSubstr(".tmp")));
    }
  }

  /// Kills so long after its start; less than 0: so long after the first new or changed file. Whether it came in time.
  bool kill_once(const std::vector<std::string>& arguments, std::chrono::duration<double> moment) const {
    const std::map<std::string, fs::file_time_type> before = times();
    Program program("index", with_one_thread(arguments));
    if (moment.count() < 0) {
      program.wait_until([&] { return times() != before; });
    }
    std::this_thread::sleep_for(std::chrono::abs(moment));
    program.kill(SIGKILL);
    return program.wait() == -SIGKILL;
  }
  /// When the files that say what is in the index were written, and the folder that holds them.
  std::map<std::string, fs::file_time_type> times() const {
    std::map<std::string, fs::file_time_type> out;
    std::error_code gone;
    for (const char* name : {"segments", "catalogue.sqlite", "catalogue.sqlite-journal", "catalogue.sqlite-wal"}) {
      out[name] = fs::last_write_time(index_ / name, gone);
    }
    return out;
  }
  static std::set<std::string> pieces(int first, int last) {
    std::set<std::string> out;
    for (int i = first; i < last; ++i) {
      out.insert(piece(i));
    }
    return out;
  }

  static constexpr int kPieces = 24;
  static constexpr int kRounds = 8;
};

TEST_F(IndexKillWhole, RemoveIsDoneOrNot) {
  make(index_, 0, 24, 8);  // three segments, of which two are written anew
  std::set<std::string> kept = pieces(0, 24);
  std::vector<std::string> arguments = {"remove", index_.string()};
  for (const int i : {0, 3, 9, 10}) {
    kept.erase(piece(i));
    arguments.push_back(piece(i));
  }
  expect_to_survive(arguments, {kept, 2});
}

TEST_F(IndexKillWhole, MergeIsDoneOrNot) {
  make(index_, 0, 12, 12);
  const fs::path other = composed_.folder / "other";
  make(other, 6, 24, 3);
  const State others = state_of(other);
  expect_to_survive({"merge", index_.string(), other.string()}, {pieces(0, 24), 2});
  EXPECT_EQ(state_of(other), others);
}

TEST_F(IndexKillWhole, JoiningSegmentsLosesNoTrack) {
  make(index_, 0, 16, 1);  // one more, and they are joined
  const fs::path added = composed_.folder / "many" / piece(20);
  std::set<std::string> all = pieces(0, 16);
  all.insert(piece(20));
  // The new track is committed first, and then the segments are joined.
  expect_to_survive({"add", index_.string(), added.string(), "--no-calibrate"}, {all, 1}, {{all, 17}});
}

}  // namespace
}  // namespace earmark::search
