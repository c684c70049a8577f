// The program `index` beside a small composed collection: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/program.h"
#include "tests/search/composed.h"

namespace earmark::search {

namespace fs = std::filesystem;
using earmark::testing::Ended;
using earmark::testing::Program;
using earmark::testing::Surroundings;
using ::testing::HasSubstr;

class IndexProgram : public ::testing::Test {
 protected:
  static constexpr int kTracks = 4;

  Ended run(std::vector<std::string> arguments, const Surroundings& surroundings = {}) const {
    return earmark::testing::run("index", with_one_thread(std::move(arguments)), surroundings);
  }
  static std::vector<std::string> with_threads(int threads, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--threads", std::to_string(threads)});
    return arguments;
  }
  static std::vector<std::string> with_one_thread(std::vector<std::string> arguments) {
    return with_threads(1, std::move(arguments));
  }
  std::vector<std::string> build_arguments(const fs::path& index, const std::vector<fs::path>& paths) const {
    std::vector<std::string> arguments = {"build", index.string(), "--model", composed_.model().string()};
    for (const fs::path& path : paths) {
      arguments.push_back(path.string());
    }
    return arguments;
  }
  Ended build(const fs::path& index, const std::vector<fs::path>& paths) const {
    return run(build_arguments(index, paths));
  }
  fs::path track(int i) const { return composed_.music() / Composed::name(i); }
  /// Paths as `list --json` has them.
  std::vector<std::string> listed(const fs::path& index) const {
    const Ended list = run({"list", index.string(), "--json"});
    EXPECT_EQ(list.code, 0) << list.err;
    std::vector<std::string> paths;
    std::istringstream lines(list.out);
    for (std::string line; std::getline(lines, line);) {
      paths.push_back(nlohmann::json::parse(line).at("path"));
    }
    return paths;
  }
  void expect_sound(const fs::path& index) const {
    const Ended verify = run({"verify", index.string()});
    EXPECT_EQ(verify.code, 0) << verify.err;
    EXPECT_THAT(verify.out, HasSubstr(": sound\n"));
    EXPECT_EQ(verify.err, "");
  }
  static std::set<std::string> files_in(const fs::path& folder) {
    std::set<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      files.insert(entry.path().lexically_relative(folder).string());
    }
    return files;
  }
  /// Short pieces of music, each another content.
  fs::path many_files(int count) const {
    const fs::path folder = composed_.folder / "many";
    fs::create_directories(folder);
    for (int i = 0; i < count; ++i) {
      data::write_wav(folder / ("piece-" + std::to_string(i) + ".wav"), composed_.part(i % kTracks, 0.01 * i, 1.5));
    }
    return folder;
  }

  const Composed composed_{kTracks, 6};
  const fs::path index_ = composed_.index();
};

}  // namespace earmark::search
