#include "data/progress.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace earmark::data {
namespace {

template <class Use>
std::string printed(Use use) {
  std::FILE* out = std::tmpfile();
  use(out);
  std::string text(static_cast<std::size_t>(std::ftell(out)), ' ');
  std::rewind(out);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), out), text.size());
  std::fclose(out);
  return text;
}

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(61.4), "1:01");
  EXPECT_EQ(format_duration(3600), "1:00:00");
  EXPECT_EQ(format_duration(36061), "10:01:01");
  EXPECT_EQ(format_duration(-5), "0:00");
}

TEST(Progress, EndsWithAPlainSummaryOnAFile) {
  const std::string text = printed([](std::FILE* out) {
    Progress progress("decoding", 20, "files", true, out);
    for (int i = 0; i < 20; ++i) {
      progress.add();
    }
    progress.note("loss 2.5");
    progress.line("a line of its own");
  });
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find("a line of its own\n"), 0U);
  EXPECT_NE(text.find("decoding  100 %  20/20 files"), std::string::npos) << text;
  EXPECT_NE(text.find("loss 2.5"), std::string::npos);
  EXPECT_EQ(text.back(), '\n');
}

TEST(Progress, SilentWhenDisabledAndWithoutATotal) {
  EXPECT_EQ(printed([](std::FILE* out) {
              Progress progress("x", 5, "y", false, out);
              progress.add();
              progress.line("z");
            }),
            "");
  EXPECT_NE(printed([](std::FILE* out) { Progress("x", 0, "y", true, out).set(7); }).find("7 y"), std::string::npos);
}

TEST(Progress, ManyThreadsMayCount) {
  const std::string text = printed([](std::FILE* out) {
    Progress progress("counting", 4000, "things", true, out);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 1000; ++k) {
          progress.add();
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  });
  EXPECT_NE(text.find("4000/4000 things"), std::string::npos) << text;
}

}  // namespace
}  // namespace earmark::data
