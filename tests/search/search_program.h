// The program `search` beside an index of a small composed collection: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/program.h"
#include "tests/search/composed.h"

namespace earmark::search {

namespace fs = std::filesystem;
using earmark::testing::Ended;
using earmark::testing::Program;
using earmark::testing::Surroundings;

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    parts.push_back(part);
  }
  if (text.ends_with(separator) && separator != '\n') {
    parts.emplace_back();
  }
  return parts;
}

inline std::vector<std::string> lines_in(const std::string& text) { return split(text, '\n'); }

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> objects;
  for (const std::string& line : lines_in(text)) {
    objects.push_back(nlohmann::json::parse(line));
  }
  return objects;
}

class SearchProgram : public ::testing::Test {
 protected:
  static constexpr double kSeconds = 25;

  static void SetUpTestSuite() {
    composed_ = new Composed(3, kSeconds);
    const Ended built = earmark::testing::run("index", {"build", composed_->index().string(), "--model",
                                                        composed_->model().string(), composed_->music().string()});
    ASSERT_EQ(built.code, 0) << built.err;
  }
  static void TearDownTestSuite() { delete composed_; }

  static Ended run(std::vector<std::string> arguments, const Surroundings& surroundings = {}) {
    arguments.insert(arguments.end(), {"--threads", "1"});
    return earmark::testing::run("search", arguments, surroundings);
  }
  /// An untrained encoder finds clean excerpts, but is sure of little: the threshold is the test's.
  static Ended search(const std::vector<std::string>& arguments, const std::string& threshold = "0.2",
                      const Surroundings& surroundings = {}) {
    std::vector<std::string> all = {composed_->index().string(), "--threshold", threshold};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run(all, surroundings);
  }
  /// Excerpts of two tracks, 14 s each, joined.
  static std::vector<float> medley() {
    std::vector<float> sound(composed_->part(0, 1, 14).begin(), composed_->part(0, 1, 14).end());
    sound.insert(sound.end(), composed_->part(1, 8, 14).begin(), composed_->part(1, 8, 14).end());
    return sound;
  }
  static fs::path query(const std::string& name, int track, double begin_s, double length_s = 5) {
    return composed_->write(name, composed_->part(track, begin_s, length_s));
  }
  static fs::path raw_medley() {
    std::string bytes;
    for (const float x : medley()) {
      const auto sample = static_cast<std::uint16_t>(data::to_int16(x));
      bytes += static_cast<char>(sample & 0xFFU);
      bytes += static_cast<char>(sample >> 8U);
    }
    write_bytes(composed_->folder / "medley.raw", bytes);
    return composed_->folder / "medley.raw";
  }

  inline static Composed* composed_ = nullptr;
};

}  // namespace earmark::search
