// Bytes become whole lines, however they come.
#include "train/line_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace earmark::train {
namespace {

using ::testing::ElementsAre;

/// The lines of `text`, given `step` bytes at a time.
std::vector<std::string> split(const std::string& text, std::size_t step) {
  LineSplitter splitter;
  std::vector<std::string> lines;
  const auto take = [&](std::string_view line) { lines.emplace_back(line); };
  for (std::size_t i = 0; i < text.size(); i += step) {
    splitter.add(std::string_view(text).substr(i, step), take);
  }
  splitter.finish(take);
  return lines;
}

TEST(LineSplitter, EndsOfEveryKindHoweverTheyCome) {
  for (const std::size_t step : {1, 2, 3, 100}) {
    EXPECT_THAT(split("a\nbc\n\nd", step), ElementsAre("a", "bc", "", "d"));
    EXPECT_THAT(split("a\r\nbc\r\n\r\nd\r\n", step), ElementsAre("a", "bc", "", "d"));
    EXPECT_THAT(split("\r10 %\r20 %\r30 %\nnext\n", step), ElementsAre("10 %", "20 %", "30 %", "next"));
    EXPECT_THAT(split("10 %\r20 %\r\n\nnext", step), ElementsAre("10 %", "20 %", "", "next"));
    EXPECT_THAT(split("", step), ElementsAre());
    EXPECT_THAT(split("\n", step), ElementsAre(""));
  }
}

TEST(LineSplitter, WhatNeverEndsIsCut) {
  const std::string longest(64 * 1024, 'x');
  for (const std::size_t step : {1000, 65536, 1000000}) {
    EXPECT_THAT(split(longest + longest + "y\nz", step), ElementsAre(longest, longest, "y", "z"));
    EXPECT_THAT(split(longest + "\nz", step), ElementsAre(longest, "z"));
  }
}

}  // namespace
}  // namespace earmark::train
