// The program `launch` with shell scripts as ranks: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "tests/program.h"

namespace earmark::train {

namespace fs = std::filesystem;
using earmark::testing::bytes_of;
using earmark::testing::Ended;
using earmark::testing::EnvironmentScope;
using earmark::testing::Program;
using earmark::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LaunchProgram : public ::testing::Test {
 protected:
  LaunchProgram() { std::signal(SIGHUP, SIG_DFL); }  // nohup may run the tests

  /// `options` and a script as every rank; it finds the test's folder as $1.
  std::vector<std::string> arguments(const std::vector<std::string>& options, const std::string& script) const {
    std::vector<std::string> all = options;
    all.insert(all.end(), {"sh", "-c", script, "rank", folder_.path().string()});
    return all;
  }
  Ended run(const std::vector<std::string>& options, const std::string& script) const {
    return earmark::testing::run("launch", arguments(options, script));
  }
  std::string file(const std::string& name) const { return bytes_of(folder_ / name); }
  /// Waits until all ranks have written what they mean to write; false where the program ended before.
  bool wait_for_files(const Program& program, const std::vector<std::string>& names) const {
    return program.wait_until([&] {
      return std::all_of(names.begin(), names.end(),
                         [&](const std::string& name) { return file(name).ends_with('\n'); });
    });
  }
  /// What a rank does that waits to be told to end.
  static constexpr const char* kWait = "while :; do sleep 0.01; done";

  TemporaryFolder folder_;
};

inline std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

/// R, S, T, Z and so on, as /proc says; X: there is no such process.
inline char state_of(const std::string& process) {
  const std::string text = bytes_of("/proc/" + process.substr(0, process.find('\n')) + "/stat");
  const std::size_t name_end = text.rfind(')');
  return name_end == std::string::npos ? 'X' : text.at(name_end + 2);
}

inline bool is_gone(const std::string& process) {
  return std::string("XZ").find(state_of(process)) != std::string::npos;
}

inline void wait_until(const std::function<bool()>& condition) {
  while (!condition()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace earmark::train
