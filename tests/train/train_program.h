// The program `train` beside five composed tracks and a configuration: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/composer.h"
#include "tests/program.h"

namespace earmark::train {

namespace fs = std::filesystem;
using earmark::testing::bytes_of;
using earmark::testing::Ended;
using earmark::testing::lines_of;
using earmark::testing::Program;
using earmark::testing::SmallDisk;
using earmark::testing::Surroundings;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

constexpr const char* kConfig = R"(
train: {steps: 30, learning_rate: 1.0e-3, schedule: cosine, checkpoint_interval: 4}
data:
  music: [music]
  colored_noise: [pink]
  rooms: 2
  room_rt60_s: [0.15, 0.3]
  store: pcm
features: {mel_bands: 16, frames: 24, normalization: max_relative}
encoder: {width: 2, embedding: 16, head_hidden: 4}
pairs: {count: 4, draws: uniform_time}
validation: {tracks: 1, seconds: 2, queries: 8, interval: 10}
)";

class TrainProgram : public ::testing::Test {
 protected:
  TrainProgram() {
    data::compose_folder(folder_ / "music", {.tracks = 5, .seconds = 3, .seed = 1});
    std::ofstream(folder_ / "tiny.yaml") << kConfig;
  }

  int run(const std::vector<std::string>& arguments, const Surroundings& surroundings = {}) {
    const Ended ended = earmark::testing::run("train", arguments, surroundings);
    output_ = ended.all();
    return ended.code;
  }
  static void wait_for_lines(const Program& program, const fs::path& log, std::int64_t lines) {
    program.wait_until([&] { return lines_of(log) >= lines; });
  }
  /// A new run in the folder `out`, with overrides "key=value".
  std::vector<std::string> arguments(const std::string& out, const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all{(folder_ / "tiny.yaml").string(), "--out", (folder_ / out).string()};
    for (const std::string& override : overrides) {
      all.insert(all.end(), {"--set", override});
    }
    return all;
  }

  TemporaryFolder folder_;
  std::string output_;
};

}  // namespace earmark::train
