#include "train/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark::train {
namespace {

using earmark::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Color { red, green };

struct Example {
  bool flag = false;
  int count = 3;
  std::uint64_t seed = 1;
  double rate = 0.5;
  std::string name = "plain";
  std::vector<std::string> words;
  std::vector<double> numbers{1, 2};
  double low = 0;
  double high = 20;
  std::filesystem::path path;
  std::vector<std::filesystem::path> paths;
  std::vector<NamedPath> named;
  Color color = Color::red;
  int inner = 7;
};

Example read_example(Config& config) {
  Example e;
  Section section = config.section("main");
  section.read("flag", e.flag, "A flag.");
  section.read("count", e.count, {1, 10}, "things", "How many.");
  section.read("seed", e.seed, {0, 1e18}, "", "Seed.");
  section.read("rate", e.rate, {0, 1}, "", "A rate.");
  section.read("name", e.name, "A name.");
  section.read("words", e.words, "Words.");
  section.read("numbers", e.numbers, {0, 100}, "dB", "Numbers.");
  section.read_interval("range", e.low, e.high, {-10, 30}, "dB", "An interval.");
  section.read_path("path", e.path, "A path.");
  section.read_paths("paths", e.paths, "Paths.");
  section.read_named_paths("named", e.named, "Paths with names.");
  section.read_choice("color", e.color, {{"red", Color::red}, {"green", Color::green}}, "A colour.");
  section.section("deep").read("inner", e.inner, {0, 9}, "", "Inside.");
  return e;
}

Example parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  Config config = Config::parse(text, "test.yaml", overrides);
  const Example e = read_example(config);
  config.finish();
  return e;
}

std::string parse_error(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return testing::error_of([&] { parse(text, overrides); });
}

TEST(Config, ReadsEveryKind) {
  const Example e = parse(R"(
main:
  flag: true
  count: 10
  seed: 1000000000000000000
  rate: 1.0e-3
  name: "two words"
  words: [a, "b c"]
  numbers: 3
  range: [-5, 5]
  path: x/../y
  paths: [a, /b]
  named: ["A (ours)=a", c=/b=d]
  color: green
  deep: {inner: 9}
)");
  EXPECT_TRUE(e.flag);
  EXPECT_EQ(e.count, 10);
  EXPECT_EQ(e.seed, 1000000000000000000U);
  EXPECT_EQ(e.rate, 1e-3);
  EXPECT_EQ(e.name, "two words");
  EXPECT_THAT(e.words, ElementsAre("a", "b c"));
  EXPECT_THAT(e.numbers, ElementsAre(3));
  EXPECT_EQ(e.low, -5);
  EXPECT_EQ(e.high, 5);
  EXPECT_EQ(e.path, std::filesystem::current_path() / "y");
  EXPECT_THAT(e.paths, ElementsAre(std::filesystem::current_path() / "a", "/b"));
  ASSERT_EQ(e.named.size(), 2U);
  EXPECT_EQ(e.named[0].name, "A (ours)");
  EXPECT_EQ(e.named[0].path, std::filesystem::current_path() / "a");
  EXPECT_EQ(e.named[1].name, "c");
  EXPECT_EQ(e.named[1].path, "/b=d");
  EXPECT_EQ(e.color, Color::green);
  EXPECT_EQ(e.inner, 9);
}

TEST(Config, AbsentKeysKeepTheirDefaults) {
  for (const char* text : {"", "main:", "main: {}", "# only a comment"}) {
    const Example e = parse(text);
    EXPECT_EQ(e.count, 3);
    EXPECT_EQ(e.color, Color::red);
  }
}

TEST(Config, UnknownKeysNameFileLineAndTheNearestKey) {
  EXPECT_THAT(parse_error("main:\n  count: 2\n  coutn: 3\n"),
              AllOf(HasSubstr("test.yaml:3: main.coutn"), HasSubstr("nearest known key is main.count")));
  EXPECT_THAT(parse_error("main: {deep: {iner: 3}}"), HasSubstr("nearest known key is main.deep.inner"));
  EXPECT_THAT(parse_error("mian:\n  count: 2\n"), HasSubstr("nearest known key is main"));
  EXPECT_THAT(parse_error("color: red\n"), HasSubstr("nearest known key is main.color"));
  EXPECT_THAT(parse_error("main: {deep: {count: 1}}"), HasSubstr("nearest known key is main.count"));
}

TEST(Config, WrongTypesAndRangesNameFileLineAndKey) {
  const auto wrong = [](const std::string& line) { return parse_error("main:\n  name: x\n  " + line + "\n"); };
  for (const char* line : {"count: 0", "count: 11", "count: 2.5", "count: two", "count: 1e1", "count:", "count: [1]",
                           "count: 99999999999999999999", "count: 0x2", "count: '2 '"}) {
    EXPECT_THAT(wrong(line),
                AllOf(HasSubstr("test.yaml:3: main.count"), HasSubstr("expected a whole number from 1 to 10 (things)")))
        << line;
  }
  for (const char* line : {"named: a", "named: [=a]", "named: [a=]"}) {
    EXPECT_THAT(wrong(line), AllOf(HasSubstr("test.yaml:3: main.named"), HasSubstr("expected a list of NAME=PATH")));
  }
  for (const char* line : {"rate: 1.5", "rate: .nan", "rate: nan", "rate: inf", "rate: fast", "rate: {a: 1}"}) {
    EXPECT_THAT(wrong(line), HasSubstr("test.yaml:3: main.rate")) << line;
  }
  for (const char* line : {"flag: yes", "flag: 1", "flag:"}) {
    EXPECT_THAT(wrong(line), HasSubstr("expected true or false")) << line;
  }
  for (const char* line : {"range: [1]", "range: [5, 1]", "range: 3", "range: [1, 2, 3]", "range: [0, 31]"}) {
    EXPECT_THAT(wrong(line), HasSubstr("test.yaml:3: main.range")) << line;
  }
  EXPECT_THAT(wrong("seed: -1"), HasSubstr("main.seed"));
  EXPECT_THAT(wrong("color: blue"), AllOf(HasSubstr("one of red, green"), HasSubstr("\"blue\"")));
  EXPECT_THAT(wrong("words: [[a]]"), HasSubstr("main.words"));
  EXPECT_THAT(wrong("path: [a]"), HasSubstr("main.path"));
  EXPECT_THAT(wrong("deep: 3"), HasSubstr("expected a section"));
}

TEST(Config, MalformedFilesAreExplained) {
  EXPECT_THAT(parse_error("main: [1, 2"), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("main:\n  count: 1\n  count: 2\n"),
              AllOf(HasSubstr("test.yaml:3"), HasSubstr("given twice")));
  EXPECT_THAT(parse_error("[1, 2]"), HasSubstr("expected a mapping"));
  EXPECT_THAT(parse_error("main: 3"), HasSubstr("expected a section"));
  EXPECT_THROW(Config::load("/nonexistent/x.yaml"), Error);
  EXPECT_THROW(Config::load("/"), Error);
}

TEST(Config, OverridesWinAndAreCheckedTheSameWay) {
  EXPECT_EQ(parse("main: {count: 2}", {"main.count=4", "main.count=5"}).count, 5);
  EXPECT_EQ(parse("", {"main.deep.inner=1"}).inner, 1);
  EXPECT_THAT(parse("", {"main.words=[x, y]"}).words, ElementsAre("x", "y"));
  EXPECT_EQ(parse("", {"main.name=a=b"}).name, "a=b");
  EXPECT_THAT(parse_error("", {"main.count=40"}), HasSubstr("--set main.count=40: expected a whole number"));
  EXPECT_THAT(parse_error("", {"main.cuont=4"}),
              AllOf(HasSubstr("--set main.cuont=4: unknown key"), HasSubstr("main.count")));
  EXPECT_THAT(parse_error("", {"main.count"}), HasSubstr("expected key=value"));
  EXPECT_THAT(parse_error("", {"=3"}), HasSubstr("expected key=value"));
  EXPECT_THAT(parse_error("main: {count: 2}", {"main.count.x=4"}), HasSubstr("not a section"));
  EXPECT_THAT(parse_error("", {"main.words=[a"}), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("", {"main={count: 40}"}), HasSubstr("--set main={count: 40}"));
}

TEST(Config, PathsStartAtTheFileThatNamesThem) {
  const TemporaryFolder folder;
  std::ofstream(folder / "c.yaml") << "main: {path: music, paths: [../a, b]}\n";
  Config config = Config::load(folder / "c.yaml", {"main.paths=[c]"});
  const Example e = read_example(config);
  EXPECT_EQ(e.path, folder / "music");
  EXPECT_THAT(e.paths, ElementsAre(std::filesystem::current_path() / "c"));
}

TEST(Config, ResolvedReadsBackAsTheSame) {
  Config config = Config::parse("main: {name: \"quo\\\"te\\n#: \", words: ['', '~', 'true'], rate: 0.1}", "t",
                                {"main.paths=[\"a b\", 'c: d']"});
  read_example(config);
  const std::string resolved = config.resolved();
  Config again = Config::parse(resolved, "resolved");
  const Example e = read_example(again);
  again.finish();
  EXPECT_EQ(e.name, "quo\"te\n#: ");
  EXPECT_THAT(e.words, ElementsAre("", "~", "true"));
  EXPECT_EQ(e.rate, 0.1);
  EXPECT_EQ(e.paths.at(1), std::filesystem::current_path() / "c: d");
  EXPECT_EQ(again.resolved(), resolved);
}

TEST(Config, OtherProgramsSectionsAreLeftAlone) {
  Config config = Config::parse("reproduce: {anything: [1, 2]}\nmain: {count: 2}", "t");
  read_example(config);
  EXPECT_THROW(config.finish(), Error);
  config.skip("reproduce");
  EXPECT_NO_THROW(config.finish());
  EXPECT_THAT(config.resolved(), HasSubstr("anything: [1, 2]"));
}

TEST(Config, HelpListsEveryKey) {
  Config config = Config::parse("", "t");
  read_example(config);
  EXPECT_THAT(config.help(), AllOf(HasSubstr("main.count: 3\n    a whole number from 1 to 10 (things). How many."),
                                   HasSubstr("main.deep.inner")));
}

TEST(Config, RejectNamesThePlace) {
  Config config = Config::parse("main:\n  count: 2\n", "t");
  const Section section = config.section("main");
  EXPECT_TRUE(section.has("count"));
  EXPECT_FALSE(section.has("rate"));
  try {
    section.reject("count", "too few");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "t:2: main.count: too few");
  }
}

}  // namespace
}  // namespace earmark::train
