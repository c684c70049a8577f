// NAFP is a plug: `train`, `index` and `search` take its configuration as they take any other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "data/composer.h"
#include "data/decode.h"
#include "data/wav.h"
#include "tests/program.h"
#include "tests/test_support.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using earmark::testing::bytes_of;
using earmark::testing::Ended;
using ::testing::HasSubstr;

constexpr double kHop = 16 * 256 / 8000.0;  // seconds between fingerprints

/// A small network, trained for a few steps on composed music.
class NafpProgramWhole : public ::testing::Test {
 protected:
  NafpProgramWhole() {
    data::compose_folder(folder_ / "music", {.tracks = 5, .seconds = 8, .seed = 1});
    for (const auto& file : fs::directory_iterator(folder_ / "music")) {
      names_.push_back(file.path().filename().string());
    }
    std::ranges::sort(names_);
  }

  /// The model's file.
  fs::path train(const std::string& config, const std::string& out, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{std::string(EARMARK_SOURCE_DIR) + "/configs/" + config, "--out",
                                       (folder_ / out).string()};
    std::vector<std::string> overrides{"data.music=" + (folder_ / "music").string(),
                                       "data.store=" + (folder_ / ("pcm of " + config)).string(),
                                       "data.rooms=2",
                                       "train.steps=8",
                                       "train.checkpoint_interval=8",
                                       "encoder.width=4",
                                       "encoder.embedding=32",
                                       "encoder.head_hidden=4",
                                       "pairs.count=6",
                                       "validation.tracks=1",
                                       "validation.seconds=3",
                                       "validation.queries=8",
                                       "validation.interval=4"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    for (const std::string& override : overrides) {
      arguments.insert(arguments.end(), {"--set", override});
    }
    const Ended ended = earmark::testing::run("train", arguments);
    EXPECT_EQ(ended.code, 0) << ended.all();
    return folder_ / out / "model.safetensors";
  }
  fs::path index(const fs::path& model, const std::string& name) const {
    const fs::path out = folder_ / name;
    const Ended ended = earmark::testing::run(
        "index", {"build", out.string(), "--model", model.string(), (folder_ / "music").string()});
    EXPECT_EQ(ended.code, 0) << ended.all();
    return out;
  }
  /// 4 s of a track from `start_s` on, as a file of its own.
  fs::path excerpt(std::size_t track, double start_s) const {
    const std::vector<float> pcm = data::decode_audio(folder_ / "music" / names_[track]);
    const auto first = static_cast<std::size_t>(start_s * 16000);
    data::write_wav(folder_ / "excerpt.wav", std::span(pcm).subspan(first, 64000));
    return folder_ / "excerpt.wav";
  }
  void expect_found(const fs::path& index, const std::vector<std::string>& more, double hop) const {
    for (std::size_t track = 0; track < 3; ++track) {
      const double start = 4 * hop;
      std::vector<std::string> arguments{index.string(), excerpt(track, start).string(), "--json"};
      arguments.insert(arguments.end(), more.begin(), more.end());
      const Ended ended = earmark::testing::run("search", arguments);
      ASSERT_EQ(ended.code, 0) << ended.all();
      const nlohmann::json match = nlohmann::json::parse(ended.out).at("matches").at(0);
      EXPECT_EQ(match.at("track"), names_[track]);
      EXPECT_NEAR(match.at("start_s").get<double>(), start, hop / 2);
    }
  }

  earmark::testing::TemporaryFolder folder_;
  std::vector<std::string> names_;
};

TEST_F(NafpProgramWhole, TrainsIndexesAndFinds) {
  const fs::path model = train("nafp.yaml", "run", {});
  EXPECT_THAT(bytes_of(folder_ / "run" / "config.yaml"), HasSubstr("batch_maximum"));
  const fs::path made = index(model, "index");
  expect_found(made, {}, kHop);
  expect_found(made, {"--ranking", "sequence"}, kHop);
  expect_found(made, {"--ranking", "sequence", "--method", "lsh"}, kHop);
  const Ended followed = earmark::testing::run(
      "search", {made.string(), "--monitor", (folder_ / "music" / names_[1]).string(), "--threshold", "0.5"});
  EXPECT_EQ(followed.code, 0) << followed.all();
  EXPECT_THAT(followed.out, HasSubstr(names_[1]));
}

TEST_F(NafpProgramWhole, TheSameWithAnyNumberOfThreadsAndWorkers) {
  const std::string one = bytes_of(train("nafp.yaml", "one", {"data.workers=0"}));
  EXPECT_EQ(bytes_of(train("nafp.yaml", "three", {"data.workers=3"})), one);
}

TEST_F(NafpProgramWhole, OnOurFrontEndToo) {
  const fs::path model = train("nafp_same_frontend.yaml", "run", {"train.warmup_steps=2"});
  expect_found(index(model, "index"), {"--ranking", "scored"}, 0.1);
}

/// A store of music holds one sample rate, and says so.
TEST_F(NafpProgramWhole, AStoreOfAnotherRateIsRefused) {
  train("nafp.yaml", "run", {});
  const Ended ended = earmark::testing::run(
      "train", {std::string(EARMARK_SOURCE_DIR) + "/configs/nafp_same_frontend.yaml", "--out",
                (folder_ / "other").string(), "--set", "data.music=" + (folder_ / "music").string(), "--set",
                "data.store=" + (folder_ / "pcm of nafp.yaml").string(), "--set", "data.rooms=1"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("8000 Hz"));
}

}  // namespace
}  // namespace earmark::search
