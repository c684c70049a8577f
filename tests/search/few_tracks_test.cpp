// An index of one track or two, by the model that comes with the project: what is not in it is not taken for a match.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "data/composer.h"
#include "data/wav.h"
#include "tests/program.h"
#include "tests/test_support.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using earmark::testing::Ended;
using earmark::testing::TemporaryFolder;

constexpr int kRate = 16000;

class FewTracksWhole : public ::testing::TestWithParam<int> {
 protected:
  fs::path write(const std::string& name, const std::vector<float>& pcm) {
    data::write_wav(folder_ / name, pcm, kRate);
    return folder_ / name;
  }
  void build(int tracks) {
    std::vector<std::string> arguments = {"build", (folder_ / "index").string(), "--threads", "2"};
    for (int i = 0; i < tracks; ++i) {
      music_.push_back(data::compose(static_cast<std::uint64_t>(i) + 1, 20));
      arguments.push_back(write("track-" + std::to_string(i) + ".wav", music_.back()).string());
    }
    const Ended built = earmark::testing::run("index", arguments);
    ASSERT_EQ(built.code, 0) << built.err;
  }
  /// How many of the queries are said to match.
  int matched(const std::vector<fs::path>& queries) {
    std::vector<std::string> arguments = {(folder_ / "index").string(), "--json", "--threads", "2"};
    for (const fs::path& query : queries) {
      arguments.push_back(query.string());
    }
    std::istringstream lines(earmark::testing::run("search", arguments).out);
    int count = 0;
    int answers = 0;
    for (std::string line; std::getline(lines, line); ++answers) {
      const nlohmann::json object = nlohmann::json::parse(line);
      const bool one = object.contains("matches") && !object.at("matches").empty();
      count += one && object.at("matches")[0].at("matched").get<bool>() ? 1 : 0;
      count += object.contains("stretches") && !object.at("stretches").empty() ? 1 : 0;
    }
    EXPECT_EQ(answers, static_cast<int>(queries.size()));
    return count;
  }

  TemporaryFolder folder_;
  std::vector<std::vector<float>> music_;
};

TEST_P(FewTracksWhole, AreNotWhatAbsentMusicIsTakenFor) {
  build(GetParam());
  const Ended info = earmark::testing::run("index", {"info", (folder_ / "index").string(), "--json"});
  const nlohmann::json calibration = nlohmann::json::parse(info.out).at("calibration");
  EXPECT_EQ(calibration.at("source"),
            "composed music, since tracks are too few to be held out: " + std::to_string(GetParam()));
  EXPECT_EQ(calibration.at("points").size(), 5U);
  std::vector<fs::path> absent;
  for (const double seconds : {2.0, 3.0, 5.0, 8.0}) {
    for (std::uint64_t seed = 500; seed < 507; ++seed) {
      const std::string name = "absent-" + std::to_string(seed) + "-" + std::to_string(seconds) + ".wav";
      absent.push_back(write(name, data::compose(seed, seconds)));
    }
  }
  EXPECT_EQ(matched(absent), 0);
  std::vector<fs::path> present;
  for (const std::vector<float>& track : music_) {
    for (const int second : {2, 7, 12}) {
      const auto begin = track.begin() + second * kRate + 700;
      present.push_back(write("present-" + std::to_string(present.size()) + ".wav", {begin, begin + 5 * kRate}));
    }
  }
  EXPECT_EQ(matched(present), static_cast<int>(present.size()));
}
INSTANTIATE_TEST_SUITE_P(, FewTracksWhole, ::testing::Values(1, 2), ::testing::PrintToStringParamName());

}  // namespace
}  // namespace earmark::search
