// Verdicts and the tables made of them, on answers written by hand.
#include "experiments/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/composer.h"
#include "data/wav.h"
#include "experiments/report.h"
#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using ::testing::HasSubstr;

Query query(const std::string& id, const std::string& condition, std::optional<double> snr, double start_s) {
  return {id, str(id, ".wav"), "a.ogg", start_s, 5, condition, snr, {}, "", {{40, 0.995}}};
}

// Four noisy queries at 10 dB and one clean one; one system, asked at 5 s.
Results results_by_hand() {
  Results results;
  for (int i = 0; i < 4; ++i) {
    results.set.queries.push_back(query(str("q", i), "noise+reverb", 10, 20));
  }
  results.set.queries.push_back(query("clean", "clean", {}, 20));
  results.evaluation.lengths_s = {5};
  SystemAnswers system{"exact, scored", {{}}, {}};
  // Right to the edge of the tolerance; beyond it; at a place that sounds the same; another file.
  system.places[0] = {{"a.ogg", 20.05, 1, true},
                      {"a.ogg", 20.0501, 1, true},
                      {"a.ogg", 40.03, 1, true},
                      {"b.ogg", 20, 1, true},
                      {"a.ogg", 19.95, 1, true}};
  results.evaluation.systems.push_back(system);
  results.verdicts = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  results.setting = {2, 1.5, 54321, "test", "0123456789abcdef", "seed 1"};
  return results;
}

TEST(Judge, ToleranceIsInclusive) {
  const Results results = results_by_hand();
  const std::vector<Verdict>& verdicts = results.verdicts[0][0];
  EXPECT_TRUE(verdicts[0].place);
  EXPECT_FALSE(verdicts[1].place);
  EXPECT_TRUE(verdicts[1].file);
  EXPECT_TRUE(verdicts[4].place);
}

TEST(Judge, RepeatsCountOnlyWhereTheyAreCounted) {
  const Results results = results_by_hand();
  const std::vector<Verdict>& verdicts = results.verdicts[0][0];
  EXPECT_FALSE(verdicts[2].place);
  EXPECT_TRUE(verdicts[2].same_sound);
  EXPECT_FALSE(verdicts[3].same_sound);
  EXPECT_FALSE(verdicts[3].file);
}

TEST(Judge, ComparesTheSoundOfWrongPlaces) {
  const earmark::testing::TemporaryFolder folder;
  std::vector<float> music = data::compose(4, 12);
  std::copy(music.begin() + 16000, music.begin() + 4 * 16000, music.begin() + 8 * 16000);
  data::write_wav(folder / "a.wav", music);
  Results results;
  results.set.queries = {query("same", "clean", {}, 1.5), query("other", "clean", {}, 1.5)};
  results.evaluation.lengths_s = {1};
  results.evaluation.systems.push_back({"x", {{{"a.ogg", 8.5, 1, true}, {"a.ogg", 5, 1, true}}}, {}});
  const Verdicts verdicts =
      judge(results.set, results.evaluation, [&](const std::string&) { return std::optional(folder / "a.wav"); });
  EXPECT_FALSE(verdicts[0][0][0].place);
  EXPECT_TRUE(verdicts[0][0][0].same_sound);
  EXPECT_FALSE(verdicts[0][0][1].same_sound);
}

TEST(Tables, ShowOursBesideThePapers) {
  const Table table = table_1(results_by_hand());
  EXPECT_THAT(table.title, HasSubstr("n = 4"));
  EXPECT_THAT(table.header, ::testing::ElementsAre("length", "search", "clean", "0 dB", "5 dB", "10 dB", "15 dB"));
  ASSERT_EQ(table.rows.size(), 4U);
  EXPECT_THAT(table.rows[0],
              ::testing::ElementsAre("5 s", "exact, scored", "100.0 [20.7, 100.0]", "-", "-", "25.0 [4.6, 69.9]", "-"));
  EXPECT_EQ(table.rows[1][5].substr(0, 4), "50.0");
  EXPECT_THAT(table.rows[2],
              ::testing::ElementsAre("5 s", "paper: attention encoder", "", "69.5", "87.1", "90.5", "91.9"));
  const std::vector<Table> audio = table_2(results_by_hand());
  ASSERT_EQ(audio.size(), 2U) << "conditions that the set does not have are left out";
  EXPECT_EQ(audio[1].rows[0][3].substr(0, 4), "75.0");
  EXPECT_THAT(audio[1].rows[2], ::testing::ElementsAre("paper: audfprint", "64.8", "79.4", "87.2", "92.3"));
}

TEST(Tables, MarkdownIsPaddedAndHtmlEscaped) {
  const Table table{"A <title>", {"length", "x"}, {{"5 s", "a & b"}, {"0.96 s", "±"}}, {"note"}};
  EXPECT_EQ(
      to_markdown(table),
      "### A <title>\n\n| length | x     |\n|--------|-------|\n| 5 s    | a & b |\n| 0.96 s | ±     |\n\nnote\n");
  EXPECT_THAT(to_html(table), HasSubstr("<h3>A &lt;title&gt;</h3>"));
  EXPECT_THAT(to_html(table), HasSubstr("<td>a &amp; b</td>"));
}

TEST(Tables, JsonHasEveryCell) {
  const nlohmann::json json = nlohmann::json::parse(results_json(results_by_hand()));
  EXPECT_EQ(json["database"]["fingerprints"], 54321);
  ASSERT_EQ(json["cells"].size(), 2U);
  const nlohmann::json& noisy = json["cells"][0];
  EXPECT_EQ(noisy["n"], 4);
  EXPECT_EQ(noisy["snr_db"], 10);
  EXPECT_EQ(noisy["segment"]["hits"], 1);
  EXPECT_EQ(noisy["segment_repeats_as_hits"]["hits"], 2);
  EXPECT_EQ(noisy["audio"]["hits"], 3);
}

TEST(Report, IsOnePageWithChartAndTables) {
  const std::string page = report_html(results_by_hand(), "");
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, HasSubstr("Table 1."));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("http"))) << "self-contained";
  EXPECT_EQ(chart_svg("t", "x", "y", {{"empty", {}}}), "");
}

}  // namespace
}  // namespace earmark::experiments
