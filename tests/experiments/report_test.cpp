// What a report is made of: marks of the best, embedded figures, curves, the choice of queries, sound and pictures.
#include "experiments/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "data/decode.h"
#include "experiments/report_sound.h"
#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// Each track is asked once in an easy and once in a hard condition; `right` and the score of each answer are given.
struct Given {
  std::string condition;
  std::string track;
  bool right;
  bool right_track;
  double score;
};

Results results_of(const std::vector<Given>& given) {
  Results results;
  results.evaluation.lengths_s = {2, 5};
  const std::vector<std::vector<Answer>> none(2, std::vector<Answer>(given.size()));
  results.evaluation.systems.push_back({"exact, scored", "exact", "scored", none, {}});
  results.verdicts = {{std::vector<Verdict>(given.size()), std::vector<Verdict>(given.size())}};
  for (std::size_t q = 0; q < given.size(); ++q) {
    const Given& one = given[q];
    const bool noisy = one.condition != "clean";
    results.set.queries.push_back({str("q", q),
                                   str("q", q, ".wav"),
                                   one.track,
                                   20,
                                   5,
                                   one.condition,
                                   noisy ? std::optional(0.0) : std::nullopt,
                                   {},
                                   "",
                                   {}});
    results.evaluation.systems[0].places[1][q] = {one.right_track ? one.track : "other.ogg", 20, one.score, true};
    results.verdicts[0][1][q] = {true, one.right_track, one.right, one.right};
  }
  results.setting = {2, 1.5, 54321, "fp32", 0.1, "a <test>", "0123456789abcdef", "seed 1"};
  return results;
}

TEST(Report, MarksTheBestOfEachColumnInItsGroup) {
  Table table{"T", "length", "method", {"0 dB", "5 dB"}, {}, {"a note"}};
  const auto row = [&](const std::string& group, const std::string& label, const std::string& a, const std::string& b,
                       bool pale, bool aside) {
    table.rows.push_back({group, label, {{a, "1–2", false}, {b, "", false}}, pale, aside});
  };
  row("1 s", "ours", "60.0", "71.0", false, false);
  row("1 s", "ours, counted otherwise", "99.0", "99.0", false, true);
  row("1 s", "baseline", "9.5", "72.0", false, false);
  row("1 s", "paper", "55.0", "73.0", true, false);
  row("2 s", "ours", "100", "–", false, false);
  row("2 s", "paper", "99.9", "50.0", true, false);
  row("3 s", "ours", "50.0", "50.0", false, false);
  row("3 s", "paper", "50.0", "50.0", true, false);
  const std::string html = table_html(table, "t", true);
  const auto winner = [](const std::string& text) { return "<b class=\"mark winner\">" + text + "<span"; };
  EXPECT_THAT(html, HasSubstr(winner("60.0")));
  EXPECT_THAT(html, HasSubstr(winner("73.0")));
  EXPECT_THAT(html,
              HasSubstr("<b class=\"mark best-here\">72.0<span class=\"unseen\"> (best measured here)</span></b>"));
  EXPECT_THAT(html, HasSubstr(winner("100")));
  EXPECT_THAT(html, Not(HasSubstr(winner("99.0")))) << "counted otherwise";
  EXPECT_THAT(html, Not(HasSubstr(winner("50.0")))) << "alone in its column, and where all are equal";
  EXPECT_THAT(table_html(table, "t", false), Not(HasSubstr("mark")));
  EXPECT_THAT(html, HasSubstr("<tr class=\"pale\"><th scope=\"row\">paper</th>"));
  EXPECT_THAT(html, HasSubstr("<p class=\"note\">a note</p>"));
}

TEST(Report, TablesAreEscapedAndSayWhatBelongsToWhat) {
  const Table table{"A <title>",
                    "length",
                    "SNR",
                    {"a & b", "paper"},
                    {{"5 s", "0 dB", {{"7.5", "1–9", true}, {"60.3", "", false}}, false},
                     {"5 s", "15 dB", {{"100", "98–100", false}, {"", "", false}}, true}},
                    {}};
  const std::string html = table_html(table, "x", false);
  EXPECT_THAT(html, StartsWith("<h3 id=\"x\">A &lt;title&gt;</h3>"));
  EXPECT_THAT(html, HasSubstr("role=\"region\" tabindex=\"0\" aria-labelledby=\"x\""));
  EXPECT_THAT(html, HasSubstr("<th scope=\"col\">a &amp; b <small></small></th>"));
  EXPECT_THAT(html, HasSubstr("scope=\"rowgroup\"><span>5&nbsp;s</span>"));
  EXPECT_THAT(html, HasSubstr("<td><b>7.5</b> <small>1–9</small></td>"));
}

// What stands in <script type="application/json" id=...>.
nlohmann::json carried(const std::string& page, const std::string& id) {
  const std::string tag = "<script type=\"application/json\" id=\"" + id + "\">";
  const std::size_t begin = page.find(tag) + tag.size();
  return nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

TEST(Report, CarriesTheFiguresAndAllTables) {
  const Results results = results_of({{"noise+reverb", "a.ogg", true, true, 1}, {"clean", "a.ogg", true, true, 1}});
  const std::string page = report_html(results);
  EXPECT_EQ(carried(page, "results"), nlohmann::json::parse(results_json(results)));
  EXPECT_THAT(page, HasSubstr("a &lt;test&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<test>")));
  EXPECT_THAT(page, Not(HasSubstr("http"))) << "self-contained";
  EXPECT_THAT(page, Not(HasSubstr("{{")));
  const std::vector<Table> tables = all_tables(results);
  EXPECT_GE(tables.size(), 4U);
  for (const Table& table : tables) {
    EXPECT_THAT(page, HasSubstr(">" + escaped_html(table.title.substr(0, table.title.find(' ')))));
    EXPECT_THAT(page, HasSubstr(escaped_html(table.rows.front().label)));
  }
}

TEST(Report, SaysWhatIsMissingAndLeavesItOut) {
  const std::string page = report_html(results_of({{"noise+reverb", "a.ogg", true, true, 1}}));
  EXPECT_THAT(page, HasSubstr("<p class=\"note\" >The charts are missing"));
  EXPECT_THAT(page, HasSubstr("<section id=\"training\" aria-labelledby=\"training-title\" hidden>"));
  EXPECT_THAT(page, HasSubstr("<section id=\"examples\" aria-labelledby=\"examples-title\" hidden>"));
  const earmark::testing::TemporaryFolder folder;
  std::ofstream(folder / "chart.js") << "var end = '</script>';";
  ReportParts parts;
  parts.chart_library = folder / "chart.js";
  const std::string with = report_html(results_of({{"noise+reverb", "a.ogg", true, true, 1}}), parts);
  EXPECT_THAT(with, HasSubstr("<p class=\"note\" hidden>The charts are missing"));
  EXPECT_THAT(with, HasSubstr("var end = '<\\/script>';"));
  parts.chart_library = folder / "none.js";
  EXPECT_THROW(report_html(results_of({}), parts), Error);
}

TEST(Report, ShowsHowItWasMade) {
  const earmark::testing::TemporaryFolder run;
  std::ofstream(run / "config.yaml") << "train: {seed: 77}\ndata: {x: <&>}\n";
  ReportParts parts;
  parts.training_run = run.path();
  parts.configuration = "reproduce: {excerpts: 4}";
  parts.facts = seed_facts(5, run.path());
  const std::vector<Fact> machine = machine_facts(Device{});
  parts.facts.insert(parts.facts.end(), machine.begin(), machine.end());
  const std::string page = report_html(results_of({{"clean", "a.ogg", true, true, 1}}), parts);
  EXPECT_THAT(page, HasSubstr("<dt>Seeds</dt><dd>queries 5, training 77</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Commit</dt>"));
  EXPECT_THAT(page, HasSubstr("data: {x: &lt;&amp;&gt;}"));
  EXPECT_THAT(page, HasSubstr("reproduce: {excerpts: 4}"));
  for (const Fact& fact : machine) {
    EXPECT_FALSE(fact.value.empty()) << fact.name;
  }
}

TEST(Report, CurvesAreMeansOfTheLog) {
  const earmark::testing::TemporaryFolder run;
  EXPECT_EQ(training_json(run.path()), "{}");
  std::ofstream log(run / "log.csv");
  log << "step,loss,validation_track\n";
  for (int step = 1; step <= 200; ++step) {
    log << step << ',' << (step % 2 == 0 ? 1 : 3) << ',' << (step == 150 ? "0.5" : "") << '\n';
  }
  log << "201,9";  // being written
  log.close();
  const nlohmann::json curves = nlohmann::json::parse(training_json(run.path()));
  ASSERT_EQ(curves["loss"].size(), 100U);
  EXPECT_EQ(curves["loss"][0], nlohmann::json::array({2.0, 2.0}));
  EXPECT_EQ(curves["loss"][99], nlohmann::json::array({200.0, 2.0}));
  EXPECT_EQ(curves["validation_track"], nlohmann::json::parse("[[150.0, 0.5]]"));
}

TEST(Report, ChoosesHardSuccessesAndEasyFailures) {
  const Results results = results_of({
      {"clean", "a.ogg", true, true, 0.9},     // 0: right, but easy
      {"clean", "b.ogg", false, false, 0.4},   // 1: wrong track
      {"clean", "c.ogg", false, true, 0.8},    // 2: wrong place only
      {"clean", "d.ogg", true, true, 0.8},     // 3
      {"noise", "a.ogg", true, true, 0.5},     // 4: right and hard
      {"noise", "b.ogg", false, false, 0.99},  // 5: a track that has its failure already
      {"noise", "c.ogg", false, false, 0.2},   // 6
      {"noise", "e.ogg", false, false, 0.3},   // 7: as hard, more certain
  });
  EXPECT_THAT(choose_examples(results, 4), ElementsAre(4, 3, 1, 7));
  EXPECT_THAT(choose_examples(results, 100), ElementsAre(4, 3, 1, 7, 6)) << "each track once";
  EXPECT_THAT(choose_examples(results, 0), IsEmpty());
}

std::vector<float> tone(double hz, double seconds) {
  std::vector<float> pcm(static_cast<std::size_t>(16000 * seconds));
  for (std::size_t i = 0; i < pcm.size(); ++i) {
    pcm[i] = 0.5F * static_cast<float>(std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / 16000));
  }
  return pcm;
}

std::string bytes_of_base64(const std::string& text) {
  static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6U | static_cast<unsigned>(kDigits.find(c));
    if ((count += 6) >= 8) {
      out += static_cast<char>(bits >> static_cast<unsigned>(count -= 8) & 0xffU);
    }
  }
  return out;
}

TEST(Report, SoundSurvivesItsWayIntoThePage) {
  const std::vector<float> pcm = tone(440, 2);
  const std::string uri = sound_uri(pcm, 16000);
  ASSERT_THAT(uri, StartsWith("data:audio/"));
  const earmark::testing::TemporaryFolder folder;
  std::ofstream(folder / "sound", std::ios::binary) << bytes_of_base64(uri.substr(uri.find(',') + 1));
  const std::vector<float> heard = data::decode_audio(folder / "sound");
  EXPECT_NEAR(static_cast<double>(heard.size()), static_cast<double>(pcm.size()), 2400);
  double product = 0;
  double square = 0;
  for (std::size_t i = 4000; i < 28000; ++i) {
    // A sine's share at 440 Hz, whatever its phase: the codec may delay it.
    const double phase = 2 * std::numbers::pi * 440 * static_cast<double>(i) / 16000;
    product += heard[i] * std::sin(phase);
    square += heard[i] * std::cos(phase);
  }
  EXPECT_NEAR(std::hypot(product, square) / 24000 * 2, 0.5, 0.05);
  EXPECT_EQ(base64(std::vector<std::uint8_t>{1, 2, 3, 250}), "AQID+g==");
  EXPECT_EQ(base64({}), "");
}

TEST(Report, AttentionIsTheMeanGainOverChannels) {
  // Two segments, two bands, one frame each, two channels.
  const std::vector<float> spectral = {0.75F, 0.5F, 0.25F, 0.5F, 0.5F, 0.1F, 0.5F, 0.9F};
  const std::vector<float> temporal = {1, 1, 1, 1};
  const nn::AttentionMaps maps{"block3.attention1", Tensor::from<float>({2, 2, 2}, spectral),
                               Tensor::from<float>({2, 1, 2}, temporal), 2};
  const AttentionPicture picture = attention_picture(maps, 192);
  EXPECT_EQ(picture.module, "block 3, first");
  EXPECT_EQ(picture.frames, 192);
  EXPECT_EQ(picture.gain.rows, 2);
  EXPECT_EQ(picture.gain.columns, 2);
  EXPECT_NEAR(picture.gain.low, 0.6, 1e-6);   // the second segment's lower band
  EXPECT_NEAR(picture.gain.high, 1.4, 1e-6);  // and its upper one
  EXPECT_THAT(picture.gain.values, ElementsAre(207, 0, 48, 255));
}

TEST(Report, SpectrogramsAreInDecibelsWhateverTheEncoderSees) {
  using Compression = FeatureOptions::Compression;
  // Two frames, two bands; rows of a picture are bands.
  const Picture decibels =
      spectrogram_picture(Tensor::from<float>({2, 2}, std::vector<float>{20, -40, 0, -90}), Compression::decibels);
  EXPECT_DOUBLE_EQ(decibels.high, 20);
  EXPECT_DOUBLE_EQ(decibels.low, -60) << "80 dB and no more";
  EXPECT_THAT(decibels.values, ElementsAre(255, 191, 64, 0));
  const Picture magnitudes =
      spectrogram_picture(Tensor::from<float>({2, 2}, std::vector<float>{1, 0, 0.5F, -1}), Compression::log_magnitude);
  EXPECT_DOUBLE_EQ(magnitudes.high, 20) << "10 times as large";
  EXPECT_DOUBLE_EQ(magnitudes.low, -20) << "as deep as it goes";
  EXPECT_THAT(magnitudes.values, ElementsAre(255, 191, 128, 0));
}

TEST(Report, JsonCannotEndItsScript) {
  EXPECT_EQ(script_safe("[\"</script>\"]"), "[\"\\u003c/script>\"]");
  EXPECT_EQ(nlohmann::json::parse(script_safe("[\"</script>\"]"))[0], "</script>");
}

}  // namespace
}  // namespace earmark::experiments
