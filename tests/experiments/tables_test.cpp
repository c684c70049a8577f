// Verdicts and the tables made of them, on answers written by hand.
#include "experiments/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/composer.h"
#include "data/wav.h"
#include "experiments/report.h"
#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Query query(const std::string& id, const std::string& condition, std::optional<double> snr, double start_s) {
  return {id, str(id, ".wav"), "a.ogg", start_s, 5, condition, snr, {}, "", {{40, 0.995}}};
}

// Four noisy queries at 10 dB and one clean one, asked at 5 s by two methods.
Results results_by_hand() {
  Results results;
  for (int i = 0; i < 4; ++i) {
    results.set.queries.push_back(query(str("q", i), "noise+reverb", 10, 20));
  }
  results.set.queries.push_back(query("clean", "clean", {}, 20));
  results.evaluation.lengths_s = {5};
  SystemAnswers system{"exact, scored", "exact", "scored", {{}}, {}};
  // Right to the edge of the tolerance; beyond it; at a place that sounds the same; another file.
  system.places[0] = {{"a.ogg", 20.05, 1, true},
                      {"a.ogg", 20.0501, 1, true},
                      {"a.ogg", 40.03, 1, true},
                      {"b.ogg", 20, 1, true},
                      {"a.ogg", 19.95, 1, true}};
  results.evaluation.systems.push_back(system);
  // Another method gets one place less right, and as many tracks.
  system.name = "LSH, scored";
  system.method = "LSH";
  system.places[0][0].start_s = 10;
  results.evaluation.systems.push_back(system);
  results.verdicts = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  results.setting = {2, 1.5, 54321, "fp32", 0.1, "test", "0123456789abcdef", "seed 1"};
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

TEST(Judge, ToleratesMoreWhereMoreIsAskedFor) {
  Results results = results_by_hand();
  std::vector<Answer>& answers = results.evaluation.systems[0].places[0];
  for (std::size_t q = 0; q < 4; ++q) {
    answers[q] = {"a.ogg", std::vector{20.1, 19.899, 20.5, 20.501}[q], 1, true};
  }
  const Verdicts verdicts = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  const auto hits = [&](Level level) {
    return hit_rate(results.set, verdicts[0][0], level, [](const Query& q) { return q.condition != "clean"; }).hits;
  };
  EXPECT_EQ(hits(Level::place), 0);
  EXPECT_EQ(hits(Level::within_100_ms), 1) << "inclusive";
  EXPECT_EQ(hits(Level::within_500_ms), 3);
  answers[0].track = "b.ogg";
  const Verdicts other = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  EXPECT_FALSE(is_hit(other[0][0][0], Level::within_500_ms)) << "another track";
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
  results.evaluation.systems.push_back({"x", "", "", {{{"a.ogg", 8.5, 1, true}, {"a.ogg", 5, 1, true}}}, {}});
  int asked = 0;
  const auto find = [&](const std::string&) {
    ++asked;
    return std::optional(folder / "a.wav");
  };
  const Verdicts verdicts = judge(results.set, results.evaluation, find, false, folder / "known");
  EXPECT_FALSE(verdicts[0][0][0].place);
  EXPECT_TRUE(verdicts[0][0][0].same_sound);
  EXPECT_FALSE(verdicts[0][0][1].same_sound);
  // What is known is not compared again: the same size and time, but there is no sound in it any more.
  const auto time = std::filesystem::last_write_time(folder / "a.wav");
  const std::string silence(std::filesystem::file_size(folder / "a.wav"), ' ');
  std::ofstream(folder / "a.wav") << silence;
  std::filesystem::last_write_time(folder / "a.wav", time);
  const Verdicts again = judge(results.set, results.evaluation, find, false, folder / "known");
  EXPECT_TRUE(again[0][0][0].same_sound);
  EXPECT_EQ(asked, 2);
  std::filesystem::last_write_time(folder / "a.wav", time + std::chrono::seconds(1));
  EXPECT_FALSE(judge(results.set, results.evaluation, find, false, folder / "known")[0][0][0].same_sound);
}

// A row's cells as "text small", the emphasised ones in stars.
std::vector<std::string> texts(const Row& row) {
  std::vector<std::string> out = {row.group, row.label};
  for (const Cell& cell : row.cells) {
    const std::string mark = cell.strong ? "*" : "";
    out.push_back(mark + cell.text + mark + (cell.small.empty() ? "" : " " + cell.small));
  }
  return out;
}

TEST(Tables, HaveThePapersLayout) {
  const std::vector<Table> first = table_1(results_by_hand());
  ASSERT_EQ(first.size(), 1U);
  EXPECT_THAT(first[0].title, HasSubstr("n = 4"));
  EXPECT_THAT(first[0].heads, ElementsAre("0 dB", "5 dB", "10 dB", "15 dB"));
  ASSERT_EQ(first[0].rows.size(), 4U);
  EXPECT_THAT(texts(first[0].rows[0]), ElementsAre("5 s", "ours", "–", "–", "25.0 4.6–69.9", "–"));
  EXPECT_THAT(texts(first[0].rows[1]),
              ElementsAre("5 s", "ours, exact repeats as hits", "–", "–", "50.0 15.0–85.0", "–"));
  EXPECT_THAT(texts(first[0].rows[2]), ElementsAre("5 s", "paper: attention encoder", "69.5", "87.1", "90.5", "91.9"));
  EXPECT_THAT(texts(first[0].rows[3]), ElementsAre("5 s", "paper: NAFP", "54.7", "77.3", "81.8", "82.8"));
  const std::vector<Table> second = table_2(results_by_hand());
  ASSERT_EQ(second.size(), 1U) << "conditions that the set does not have are left out";
  ASSERT_EQ(second[0].rows.size(), 3U);
  EXPECT_THAT(texts(second[0].rows[0]), ElementsAre("noise + reverb", "ours", "–", "–", "75.0 30.1–95.4", "–"));
  EXPECT_THAT(texts(second[0].rows[2]),
              ElementsAre("noise + reverb", "paper: audfprint", "64.8", "79.4", "87.2", "92.3"));
}

TEST(Tables, InFullHaveEveryMethod) {
  const Table places = full_table_1(results_by_hand());
  EXPECT_THAT(places.heads, ElementsAre("exact, scored", "LSH, scored", "paper"));
  ASSERT_EQ(places.rows.size(), 5U);
  EXPECT_THAT(texts(places.rows[0]), ElementsAre("5 s", "clean", "100 20.7–100", "100 20.7–100", ""))
      << "nothing is emphasised where all are equal";
  EXPECT_THAT(texts(places.rows[1]), ElementsAre("5 s", "0 dB", "–", "–", "69.5"));
  EXPECT_THAT(texts(places.rows[3]), ElementsAre("5 s", "10 dB", "*25.0* 4.6–69.9", "0.0 0.0–49.0", "90.5"));
  const Table tracks = full_table_2(results_by_hand());
  ASSERT_EQ(tracks.rows.size(), 5U) << "clean, and noise + reverb";
  EXPECT_THAT(texts(tracks.rows[3]),
              ElementsAre("noise + reverb", "10 dB", "75.0 30.1–95.4", "75.0 30.1–95.4", "98.5"));
}

/// Answers to every query of the paper's protocol at all of its lengths, searched in so many ways.
Results results_of_the_protocol(const std::vector<std::string>& methods, const std::vector<std::string>& rankings) {
  Results results;
  for (const Condition& condition : protocol_conditions()) {
    const std::string id = condition.label();
    results.set.queries.push_back(
        {id, id + ".wav", "a.ogg", 20, 5, condition.name(), condition.snr_db, condition.rt60_s, "", {}, {}});
  }
  results.evaluation.lengths_s = {kLengthsS.begin(), kLengthsS.end()};
  const std::vector<Answer> answers(results.set.queries.size(), {"a.ogg", 20, 1, true});
  for (const std::string& method : methods) {
    for (const std::string& ranking : rankings) {
      results.evaluation.systems.push_back({method + ", " + ranking, method, ranking, {kLengthsS.size(), answers}, {}});
    }
  }
  results.verdicts = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  return results;
}

/// The rows of what the paper prints.
std::vector<std::vector<std::string>> rows_of_the_paper(const std::vector<Table>& tables) {
  std::vector<std::vector<std::string>> out;
  for (const Table& table : tables) {
    for (const Row& row : table.rows) {
      if (row.pale) {
        out.push_back(texts(row));
      }
    }
  }
  return out;
}

TEST(Tables, PrintEveryRowOfThePaper) {
  const Results results = results_of_the_protocol({"exact"}, {"scored"});
  const std::string ours = "paper: attention encoder";
  const std::string nafp = "paper: NAFP";
  EXPECT_THAT(rows_of_the_paper(table_1(results)),
              ElementsAre(ElementsAre("0.96 s", ours, "60.3", "76.6", "81.3", "82.8"),
                          ElementsAre("0.96 s", nafp, "27.3", "58.7", "70.7", "73.9"),
                          ElementsAre("2 s", ours, "66.4", "83.5", "86.9", "88.0"),
                          ElementsAre("2 s", nafp, "39.0", "69.6", "76.5", "78.7"),
                          ElementsAre("3 s", ours, "67.9", "85.1", "88.2", "89.3"),
                          ElementsAre("3 s", nafp, "47.1", "75.2", "80.2", "81.4"),
                          ElementsAre("5 s", ours, "69.5", "87.1", "90.5", "91.9"),
                          ElementsAre("5 s", nafp, "54.7", "77.3", "81.8", "82.8")));
  const std::string audfprint = "paper: audfprint";
  EXPECT_THAT(rows_of_the_paper(table_2(results)),
              ElementsAre(ElementsAre("noise", ours, "95.0", "98.7", "98.9", "99.2"),
                          ElementsAre("noise", audfprint, "72.1", "82.7", "89.4", "91.2"),
                          ElementsAre("noise + reverb", ours, "84.3", "96.8", "98.5", "98.9"),
                          ElementsAre("noise + reverb", audfprint, "64.8", "79.4", "87.2", "92.3"),
                          ElementsAre("reverb, RT60", ours, "99.2", "99.5", "98.9", "99.6", "98.7"),
                          ElementsAre("reverb, RT60", audfprint, "96.1", "94.6", "81.8", "89.6", "40.2")));
  EXPECT_THAT(table_2(results).back().heads, ElementsAre("0.2 s", "0.4 s", "0.5 s", "0.7 s", "0.8 s"));
}

TEST(Tables, InFullHaveEveryConditionAndTheFourWaysOfSearching) {
  const Results results = results_of_the_protocol({"exact", "LSH"}, {"scored", "vote"});
  const Table places = full_table_1(results);
  const Table tracks = full_table_2(results);
  for (const Table& table : {places, tracks}) {
    EXPECT_THAT(table.heads, ElementsAre("exact, scored", "exact, vote", "LSH, scored", "LSH, vote", "paper"));
  }
  EXPECT_EQ(places.rows.size(), 4U * (1 + 4)) << "lengths; clean and four ratios";
  EXPECT_EQ(tracks.rows.size(), 14U);
  EXPECT_THAT(texts(places.rows[1]),
              ElementsAre("0.96 s", "0 dB", "100 20.7–100", "100 20.7–100", "100 20.7–100", "100 20.7–100", "60.3"));
  EXPECT_EQ(texts(tracks.rows.back()).back(), "98.7");
}

// Five systems and ours on 40 noisy queries: as good, a little worse, really worse, and really better.
Results results_to_compare() {
  Results results;
  constexpr std::size_t kQueries = 40;
  for (std::size_t i = 0; i < kQueries; ++i) {
    results.set.queries.push_back(query(str("q", i), "noise+reverb", 10, 20));
  }
  results.evaluation.lengths_s = {1, 5, 10};
  for (auto& q : results.set.queries) {
    q.length_s = 10;
  }
  const auto add = [&](const std::string& name, const std::string& method, std::size_t first, std::size_t last) {
    std::vector<Answer> answers(kQueries, {"b.ogg", 20, 1, true});
    std::fill(answers.begin() + static_cast<std::ptrdiff_t>(first), answers.begin() + static_cast<std::ptrdiff_t>(last),
              Answer{"a.ogg", 20, 1, true});
    results.evaluation.systems.push_back({name, method, method.empty() ? "" : "scored", {3, answers}, {}, 0.01, 2e6});
  };
  add("exact, scored", "exact", 0, 30);
  add("as good", "", 0, 30);
  add("a little worse", "", 5, 30);  // 5 : 0
  add("really worse", "", 6, 30);    // 6 : 0
  add("really better", "", 0, 36);   // 0 : 6
  add("much worse", "", 30, 32);     // 30 : 2
  results.verdicts = judge(results.set, results.evaluation, [](const std::string&) { return std::nullopt; });
  results.setting = {2, 1.5, 54321, "fp32", 0.1, "test", "0123456789abcdef", "seed 1"};
  return results;
}

TEST(Tables, MarkWhatDiffersFromOursByMoreThanChance) {
  const Results results = results_to_compare();
  const Table table = table_1(results).front();
  std::map<std::string, std::string> signs;
  for (const Row& row : table.rows) {
    signs[row.label] += row.group == "5 s" && !row.pale ? sign_of(row.cells.at(2)) : "";
  }
  EXPECT_EQ(signs["ours"], "");
  EXPECT_EQ(signs["ours, exact repeats as hits"], "");
  EXPECT_EQ(signs["as good"], "");
  EXPECT_EQ(signs["a little worse"], "");
  EXPECT_EQ(signs["really worse"], kBelowSign);
  EXPECT_EQ(signs["really better"], kAboveSign);
  EXPECT_EQ(signs["much worse"], kBelowSign);
  EXPECT_THAT(to_markdown(table), HasSubstr("60.0↓ 44.6–73.7"));
  EXPECT_THAT(to_markdown(table), HasSubstr("62.5  47.0–75.8")) << "the column stays straight";
  EXPECT_THAT(table_html(table, "t", true),
              HasSubstr("60.0<span class=\"real\" aria-hidden=\"true\">↓</span><span class=\"unseen\"> (really below "
                        "ours)</span> <small>"));
}

TEST(Tables, HaveThePValuesOfEveryOtherSystem) {
  const Results results = results_to_compare();
  const std::vector<Table> tables = mcnemar_tables(results);
  ASSERT_EQ(tables.size(), 2U) << "of Table 1, and of Table 2's noise: nothing was asked with reverb alone";
  EXPECT_EQ(tables[0].rows.size(), 3U * 5) << "lengths and systems";
  ASSERT_EQ(tables[1].rows.size(), 5U) << "at the headline length";
  EXPECT_THAT(texts(tables[1].rows[0]), ElementsAre("noise + reverb", "as good", "–", "–", "1.000 0:0", "–"));
  EXPECT_THAT(texts(tables[1].rows[1]), ElementsAre("noise + reverb", "a little worse", "–", "–", "0.062 5:0", "–"));
  EXPECT_THAT(texts(tables[1].rows[2]), ElementsAre("noise + reverb", "really worse", "–", "–", "*0.031* 6:0", "–"));
  EXPECT_THAT(texts(tables[1].rows[3]), ElementsAre("noise + reverb", "really better", "–", "–", "*0.031* 0:6", "–"));
  EXPECT_THAT(texts(tables[1].rows[4]), ElementsAre("noise + reverb", "much worse", "–", "–", "*<0.001* 30:2 χ²", "–"));
  const nlohmann::json json = nlohmann::json::parse(results_json(results));
  for (const nlohmann::json& cell : json["cells"]) {
    if (cell["search"] == "exact, scored") {
      EXPECT_TRUE(cell["mcnemar"].is_null());
    } else if (cell["search"] == "really worse") {
      EXPECT_EQ(cell["mcnemar"]["audio"]["only_ours"], 6);
      EXPECT_EQ(cell["mcnemar"]["segment"]["only_this"], 0);
      EXPECT_DOUBLE_EQ(cell["mcnemar"]["segment"]["p"].get<double>(), 0.03125);
      EXPECT_EQ(cell["mcnemar"]["segment"]["test"], "exact binomial");
    } else if (cell["search"] == "much worse") {
      EXPECT_EQ(cell["mcnemar"]["audio"]["test"], "chi-squared, corrected");
    }
  }
}

TEST(Tables, EachHasItsLengthsAndTheHeadlineIsFiveSeconds) {
  Results results = results_to_compare();
  EXPECT_THAT(table_2(results).front().title, HasSubstr("right track, 5 s, top-1 hit rate in %, n = 40"));
  EXPECT_THAT(other_lengths_table_2(results), ::testing::IsEmpty()) << "none was asked for";
  EXPECT_EQ(full_table_1(results).rows.size(), 3U * 4);
  results.place_lengths_s = {5};
  results.track_lengths_s = {1, 5, 10};
  EXPECT_EQ(full_table_1(results).rows.size(), 4U);
  const std::vector<Table> others = other_lengths_table_2(results);
  ASSERT_EQ(others.size(), 1U);
  EXPECT_EQ(others[0].rows.front().group, "noise + reverb, 1 s");
  EXPECT_EQ(others[0].rows.back().group, "noise + reverb, 10 s");
  EXPECT_EQ(others[0].rows.size(), 2U * 6);
  const std::vector<Table> wider = wider_table_1(results);
  ASSERT_EQ(wider.size(), 1U);
  EXPECT_EQ(wider[0].rows.front().group, "5 s, 100 ms");
  EXPECT_EQ(wider[0].rows.back().group, "5 s, 500 ms");
  results.track_lengths_s = {1, 10};
  EXPECT_THAT(table_2(results).front().title, HasSubstr("right track, 10 s")) << "the longest where 5 s is not asked";
  const nlohmann::json json = nlohmann::json::parse(results_json(results));
  EXPECT_EQ(json["lengths_s"]["headline"], 10);
  EXPECT_EQ(json["lengths_s"]["table_1"], nlohmann::json({5.0}));
}

TEST(Tables, SayWhatWasSearchedAndWhatItTakes) {
  const Results results = results_to_compare();
  for (const Table& table : {table_1(results).front(), table_2(results).front(), wider_table_1(results).front(),
                             full_table_1(results), full_table_2(results)}) {
    EXPECT_THAT(
        table.notes.back(),
        HasSubstr("Searched: 2 tracks, 1.5 h. A 10 s query and an hour of music in the index take: exact, scored "
                  "10.0 ms, 2.00 MB; as good 10.0 ms, 2.00 MB;"))
        << table.title;
  }
  EXPECT_EQ(costs_table(results).rows.size(), 6U);
  const nlohmann::json json = nlohmann::json::parse(results_json(results));
  ASSERT_EQ(json["systems"].size(), 6U);
  EXPECT_EQ(json["systems"][1]["search"], "as good");
  EXPECT_EQ(json["systems"][1]["seconds_per_query"], 0.01);
}

TEST(Tables, ShowHowManyQueriesAreUndecidable) {
  Results results = results_by_hand();
  EXPECT_THAT(report_markdown(results), Not(HasSubstr("Undecidable"))) << "not known";
  results.set.queries[0].repeats = {{2, 0.97}, {5, 0.4}};
  results.set.queries[1].repeats = {{2, 0.995}, {5, 0.97}};
  results.set.queries[1].start_s = 33;
  const Table table = repeats_table(repeat_shares(results.set));
  EXPECT_THAT(table.title, HasSubstr("2 excerpts"));
  EXPECT_THAT(table.heads, ElementsAre("2 s", "5 s"));
  EXPECT_EQ(table.rows[0].cells[0].text, "50.0");
  EXPECT_EQ(table.rows[0].cells[1].text, "0.0");
  EXPECT_EQ(table.rows[1].cells[0].text, "100");
  EXPECT_EQ(table.rows[1].cells[1].text, "50.0");
  EXPECT_THAT(report_markdown(results), HasSubstr("Undecidable"));
}

TEST(Tables, MarkdownIsStraightOnATerminal) {
  const Table table{"A <title>",
                    "length",
                    "SNR",
                    {"a & b", "paper"},
                    {{"5 s", "0 dB", {{"7.5", "1–9", true}, {"60.3", "", false}}, false},
                     {"5 s", "15 dB", {{"100", "98–100", false}, {"", "", false}}, true}},
                    {"note"}};
  EXPECT_EQ(to_markdown(table),
            "### A <title>\n\n"
            "| length | SNR   | a & b          | paper |\n"
            "|--------|-------|----------------|-------|\n"
            "| 5 s    | 0 dB  | **7.5** 1–9    | 60.3  |\n"
            "| 5 s    | 15 dB |   100   98–100 |       |\n"
            "\nnote\n");
}

TEST(Tables, JsonHasEveryCell) {
  const nlohmann::json json = nlohmann::json::parse(results_json(results_by_hand()));
  EXPECT_EQ(json["database"]["fingerprints"], 54321);
  ASSERT_EQ(json["cells"].size(), 4U);
  const nlohmann::json& noisy = json["cells"][0];
  EXPECT_EQ(noisy["search"], "exact, scored");
  EXPECT_EQ(noisy["method"], "exact");
  EXPECT_EQ(noisy["ranking"], "scored");
  EXPECT_EQ(noisy["n"], 4);
  EXPECT_EQ(noisy["snr_db"], 10);
  EXPECT_EQ(noisy["segment"]["hits"], 1);
  EXPECT_EQ(noisy["segment"]["n"], 4);
  EXPECT_EQ(noisy["segment_repeats_as_hits"]["hits"], 2);
  EXPECT_EQ(noisy["audio"]["hits"], 3);
  EXPECT_EQ(noisy["paper_percent"]["segment"], 90.5);
  EXPECT_EQ(noisy["paper_percent"]["audio"], 98.5);
  EXPECT_TRUE(json["cells"][1]["paper_percent"]["segment"].is_null()) << "the paper has no clean queries";
}

// "50.0 15.0–85.0" of a rate in the JSON.
std::string cell_of(const nlohmann::json& rate) {
  const auto percent = [](double value) { return value == 100 ? "100" : fixed(value, 1); };
  return percent(rate["percent"]) + ' ' + percent(rate["interval"][0]) + "–" + percent(rate["interval"][1]);
}

TEST(Tables, MarkdownAndJsonSayTheSame) {
  const Results results = results_by_hand();
  const nlohmann::json json = nlohmann::json::parse(results_json(results));
  const Table places = full_table_1(results);
  const Table tracks = full_table_2(results);
  int compared = 0;
  for (std::size_t system = 0; system < 2; ++system) {
    for (const nlohmann::json& cell : json["cells"]) {
      if (cell["search"] == places.heads[system]) {
        const bool clean = cell["condition"] == "clean";
        const Cell& place = places.rows[clean ? 0 : 3].cells[system];
        const Cell& track = tracks.rows[clean ? 0 : 3].cells[system];
        EXPECT_EQ(place.text + ' ' + place.small, cell_of(cell["segment"]));
        EXPECT_EQ(track.text + ' ' + track.small, cell_of(cell["audio"]));
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, 4);
  for (const Table& table : all_tables(results)) {
    EXPECT_THAT(report_markdown(results), HasSubstr(to_markdown(table)));
  }
}

}  // namespace
}  // namespace earmark::experiments
