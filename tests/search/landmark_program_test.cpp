// `index` and `search` with landmarks: an index without a model, and otherwise as any other.
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "kernels/random.h"
#include "search/sqlite.h"
#include "tests/search/index_program.h"
#include "tests/search/search_program.h"

namespace earmark::search {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::StartsWith;

class LandmarkProgramsWhole : public IndexProgram {
 protected:
  std::vector<std::string> build_landmarks_arguments(const std::vector<fs::path>& paths,
                                                     const std::string& setting = "best") const {
    std::vector<std::string> arguments = {"build", index_.string(), "--method", "landmark", "--landmark", setting};
    for (const fs::path& path : paths) {
      arguments.push_back(path.string());
    }
    return arguments;
  }
  Ended build_landmarks(const std::vector<fs::path>& paths, const std::string& setting = "best") const {
    return run(build_landmarks_arguments(paths, setting));
  }
  static Ended search(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--threads", "1"});
    return earmark::testing::run("search", arguments);
  }
  std::string part(const std::string& name, int of_track, double begin_s, double length_s) const {
    return composed_.write(name, composed_.part(of_track, begin_s, length_s)).string();
  }
};

TEST_F(LandmarkProgramsWhole, AnIndexIsBuiltAddedToAndSearched) {
  const Ended built = build_landmarks({track(0), track(1)});
  EXPECT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("added 2, replaced 0, renamed 0, unchanged 0, skipped 0"));
  const Ended added = run({"add", index_.string(), composed_.music().string()});
  EXPECT_EQ(added.code, 0) << added.err;
  EXPECT_THAT(added.out, HasSubstr("added 2, replaced 0, renamed 0, unchanged 2"));
  expect_sound(index_);
  const Ended info = run({"info", index_.string(), "--json"});
  const nlohmann::json described = nlohmann::json::parse(info.out);
  EXPECT_EQ(described["tracks"], 4);
  EXPECT_GT(described["landmarks"], 400);
  EXPECT_EQ(described["precision"], "landmarks");
  EXPECT_THAT(described["options"].get<std::string>(), StartsWith("density=100 "));
  EXPECT_THAT(described["calibration"]["source"].get<std::string>(), StartsWith("default: excerpts of 4 tracks"));
  const Ended found = search({index_.string(), part("query.wav", 3, 2, 3), "--json"});
  EXPECT_EQ(found.code, 0) << found.err;
  const nlohmann::json match = nlohmann::json::parse(found.out)["matches"][0];
  EXPECT_EQ(match["track"], "track-3.wav");
  EXPECT_NEAR(match["start_s"].get<double>(), 2, 0.05);
  EXPECT_EQ(match["matched"], true);
  EXPECT_EQ(run({"remove", index_.string(), "track-3.wav"}).code, 0);
  expect_sound(index_);
  EXPECT_THAT(listed(index_), ElementsAre("track-0.wav", "track-1.wav", "track-2.wav"));
}

TEST_F(LandmarkProgramsWhole, ListsGiveTheSameColumns) {
  ASSERT_EQ(build_landmarks({composed_.music()}).code, 0);
  part("a.wav", 0, 1, 3);
  part("b.wav", 2, 2.5, 3);
  write_bytes(composed_.folder / "list.csv", "query_id,path\none,a.wav\ntwo,b.wav\nthree,missing.wav\n");
  // The index itself is cautious: it has four tracks, of one synthesiser.
  const Ended found =
      search({index_.string(), "--list", (composed_.folder / "list.csv").string(), "--threshold", "0.5"});
  EXPECT_EQ(found.code, 0);
  EXPECT_THAT(found.err, HasSubstr("missing.wav"));
  const std::vector<std::string> lines = lines_in(found.out);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "query_id\ttrack\tstart_s\tscore\tmatched");
  EXPECT_THAT(lines[1], StartsWith("one\ttrack-0.wav\t"));
  EXPECT_NEAR(std::stod(split(lines[2], '\t')[2]), 2.5, 0.05);
  EXPECT_EQ(split(lines[2], '\t')[4], "1");
  EXPECT_EQ(lines[3], "three\t\t\t\t0");
}

TEST_F(LandmarkProgramsWhole, StreamsAreMonitored) {
  ASSERT_EQ(build_landmarks({composed_.music()}).code, 0);
  std::ofstream raw(composed_.folder / "raw", std::ios::binary);
  for (const float x : composed_.sounds[1]) {
    const auto sample = static_cast<std::uint16_t>(data::to_int16(x));
    raw << static_cast<char>(sample & 0xFFU) << static_cast<char>(sample >> 8U);
  }
  raw.close();
  const Ended followed = earmark::testing::run(
      "search", {index_.string(), "--monitor", "-", "--raw", "--ends", "--json"}, {.input = composed_.folder / "raw"});
  EXPECT_EQ(followed.code, 0) << followed.err;
  const std::vector<nlohmann::json> events = json_lines(followed.out);
  ASSERT_EQ(events.size(), 1U) << followed.out;
  EXPECT_EQ(events[0]["track"], "track-1.wav");
  EXPECT_NEAR(events[0]["track_begin_s"].get<double>(), events[0]["query_begin_s"].get<double>(), 0.05);
}

TEST_F(LandmarkProgramsWhole, MergesOnlyWithItsOwnKind) {
  ASSERT_EQ(build_landmarks({track(0)}).code, 0);
  const fs::path same = composed_.folder / "same";
  fs::copy(index_, same, fs::copy_options::recursive);
  ASSERT_EQ(run({"add", same.string(), track(1).string()}).code, 0);
  const Ended merged = run({"merge", index_.string(), same.string()});
  EXPECT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(merged.out, HasSubstr("added 1, already there 1"));
  const fs::path fingerprints = composed_.folder / "fingerprints";
  ASSERT_EQ(build(fingerprints, {track(2)}).code, 0);
  const Ended refused = run({"merge", index_.string(), fingerprints.string()});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("an index of landmarks"), HasSubstr("fingerprints")));
  EXPECT_EQ(build(index_, {track(2)}).code, 1);
  EXPECT_EQ(build_landmarks({track(2)}, "default").code, 1);
  expect_sound(index_);
  EXPECT_EQ(listed(index_).size(), 2U);
}

TEST_F(LandmarkProgramsWhole, WhatMeansNothingToLandmarksIsBadUsage) {
  const std::string music = track(0).string();
  const std::string model = composed_.model().string();
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{"--method", "landmark", "--model", model},
                                             {"--method", "landmark", "--precision", "int8"},
                                             {"--method", "landmark", "--hop", "5"},
                                             {"--method", "landmark", "--lsh"},
                                             {"--method", "landmark", "--landmark", "x"},
                                             {"--method", "landmarks"},
                                             {"--landmark", "best"},
                                             {"--landmark", "best", "--model", model}}) {
    std::vector<std::string> arguments = {"build", index_.string(), music};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments).code, 2) << ::testing::PrintToString(more);
    EXPECT_FALSE(fs::exists(index_));
  }
  ASSERT_EQ(build_landmarks({track(0)}).code, 0);
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {"--method", "lsh"}, {"--ranking", "vote"}, {"--neighbours", "3"}, {"--query-hop", "0.05"}}) {
    std::vector<std::string> arguments = {index_.string(), music};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ended refused = search(arguments);
    EXPECT_EQ(refused.code, 2);
    EXPECT_THAT(refused.err + refused.out, HasSubstr("an index of landmarks, to which " + more[0] + " means nothing"));
  }
  EXPECT_EQ(run({"add", index_.string(), "--model", model, music}).code, 2);
}

TEST_F(LandmarkProgramsWhole, AnIndexIsCalibratedAsItIsFilled) {
  const auto source = [&] {
    const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
    return info.contains("calibration") ? info["calibration"]["source"].get<std::string>() : "";
  };
  std::vector<std::string> first = build_landmarks_arguments({track(0), track(1)});
  first.emplace_back("--no-calibrate");
  ASSERT_EQ(run(first).code, 0);
  EXPECT_EQ(source(), "");
  ASSERT_EQ(run({"add", index_.string(), track(2).string()}).code, 0);
  EXPECT_THAT(source(), StartsWith("default: excerpts of 3 tracks"));
  data::compose_folder(composed_.folder / "more", {.tracks = 24, .seconds = 4, .seed = 50});
  ASSERT_EQ(run({"add", index_.string(), (composed_.folder / "more").string()}).code, 0);
  EXPECT_EQ(source(), "held-out tracks of the index");
  expect_sound(index_);
  const Ended rare = run({"calibrate", index_.string(), "--rate", "0.001"});
  EXPECT_EQ(rare.code, 0) << rare.err;
  EXPECT_THAT(rare.out, AllOf(StartsWith("held-out tracks of the index:\n"), HasSubstr(" s: confidence above ")));
  data::compose_folder(composed_.folder / "foreign", {.tracks = 6, .seconds = 41, .seed = 77});
  const Ended foreign = run({"calibrate", index_.string(), "--queries", (composed_.folder / "foreign").string()});
  EXPECT_EQ(foreign.code, 0) << foreign.err;
  EXPECT_EQ(source(), "absent audio");
  write_bytes(composed_.folder / "empty.wav", "");
  const Ended nothing = run({"calibrate", index_.string(), "--queries", (composed_.folder / "empty.wav").string()});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("empty.wav: the file is empty"));
  EXPECT_EQ(source(), "absent audio");
}

// As an earlier version left it: no excerpts, no thresholds.
TEST_F(LandmarkProgramsWhole, AnIndexWithoutExcerptsGoesOn) {
  ASSERT_EQ(build_landmarks({composed_.music()}).code, 0);
  {
    Sqlite connection(index_ / "catalogue.sqlite", Sqlite::Mode::write);
    connection.execute("DROP TABLE excerpts; DELETE FROM format WHERE key = 'calibration'");
  }
  expect_sound(index_);
  const Ended found = search({index_.string(), part("query.wav", 3, 2, 3), "--json"});
  EXPECT_EQ(nlohmann::json::parse(found.out)["matches"][0]["matched"], true) << found.out;
  EXPECT_EQ(run({"add", index_.string(), composed_.music().string()}).code, 0);
  EXPECT_FALSE(nlohmann::json::parse(run({"info", index_.string(), "--json"}).out).contains("calibration"));
  const Ended calibrated = run({"calibrate", index_.string()});
  EXPECT_EQ(calibrated.code, 1);
  EXPECT_THAT(calibrated.err, HasSubstr("the index keeps no excerpts of its tracks"));
  EXPECT_EQ(run({"add", index_.string(), many_files(1).string()}).code, 0);
  EXPECT_EQ(run({"remove", index_.string(), "track-3.wav"}).code, 0);
  expect_sound(index_);
}

TEST_F(LandmarkProgramsWhole, OddSoundsAreSkippedWithTheirReason) {
  const fs::path folder = composed_.folder / "odd";
  fs::create_directories(folder);
  write_bytes(folder / "text.wav", "no sound at all");
  data::write_wav(folder / "silent.wav", std::vector<float>(32000, 0.0F));
  data::write_wav(folder / "short.wav", composed_.part(0, 1, 0.05));
  const Ended built = build_landmarks({folder, track(1)});
  EXPECT_EQ(built.code, 0) << built.err;
  for (const std::string reason :
       {"skipped text.wav: ", "skipped silent.wav: silent", "skipped short.wav: too short"}) {
    EXPECT_THAT(built.err, HasSubstr(reason));
  }
  expect_sound(index_);
}

TEST_F(LandmarkProgramsWhole, KilledAtAnyMomentItKeepsWhatWasCommitted) {
  const fs::path music = many_files(24);
  RandomStream random(6);
  std::size_t most = 0;
  for (int round = 0; round < 6; ++round) {
    Program program("index", with_one_thread(build_landmarks_arguments({music})));
    program.wait_until([&] { return fs::exists(index_ / "segments"); });
    std::this_thread::sleep_for(std::chrono::duration<double>(random.uniform(0, 0.06)));
    program.kill(SIGKILL);
    program.wait();
    if (fs::exists(index_ / "catalogue.sqlite")) {
      expect_sound(index_);
      const std::size_t tracks = listed(index_).size();
      EXPECT_GE(tracks, most);
      most = tracks;
    }
  }
  const Ended completed = build_landmarks({music});
  EXPECT_EQ(completed.code, 0) << completed.err;
  expect_sound(index_);
  EXPECT_EQ(listed(index_).size(), 24U);
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  // Each piece is nearly the same as others, so that no excerpt tells what something else would find.
  EXPECT_THAT(info["calibration"]["source"].get<std::string>(), StartsWith("default: excerpts of 24 tracks"));
}

}  // namespace
}  // namespace earmark::search
