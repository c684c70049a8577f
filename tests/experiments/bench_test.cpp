// `bench`: what its last line says, the figures of the small benchmarks, and what it says where it cannot run.
#include "experiments/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/composer.h"
#include "experiments/bench_search.h"
#include "kernels/error.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

using earmark::testing::Ended;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

/// The last line of what a benchmark prints.
nlohmann::json last_line(const std::string& text) {
  std::istringstream in(text);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    last = line;
  }
  return nlohmann::json::parse(last);
}

std::set<std::string> keys_of(const nlohmann::json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    keys.insert(key);
  }
  return keys;
}

TEST(Bench, ResultIsOneJsonObjectOnOneLine) {
  const std::string line = to_json({"query", 1.5, "ms", "a \"peer\"", 2});
  EXPECT_EQ(line, R"({"name":"query","value":1.5,"unit":"ms","peer":"a \"peer\"","ratio":2.0})");
}

TEST(Bench, MedianIsTheMiddleOrTheMeanOfTheTwo) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 10}), 3);
  EXPECT_THROW(median({}), Error);
}

class BenchLsh : public ::testing::Test {
 protected:
  /// Percent at the levels of segment and audio.
  static nlohmann::json cell(const std::string& search, const std::string& condition, double length_s, double segment,
                             double audio) {
    return {{"search", search},
            {"condition", condition},
            {"length_s", length_s},
            {"snr_db", 0},
            {"rt60_s", nullptr},
            {"n", 10},
            {"segment", {{"percent", segment}}},
            {"audio", {{"percent", audio}}}};
  }
  BenchResult bench(const nlohmann::json& results) {
    std::ofstream(file_) << results;
    return bench_lsh({file_}, log_);
  }

  earmark::testing::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "results.json";
  std::ostringstream log_;
};

TEST_F(BenchLsh, SaysTheMeanAndTheWorstCell) {
  nlohmann::json cells = nlohmann::json::array();
  for (const std::string ranking : {"scored", "vote"}) {
    const double more = ranking == "vote" ? 1 : 0;
    cells.push_back(cell("exact, " + ranking, "noise+reverb", 1, 50, 99));  // the audio level counts at 2 s alone
    cells.push_back(cell("exact, " + ranking, "noise+reverb", 2, 60, 80));
    cells.push_back(cell("exact, " + ranking, "noise", 2, 99, 90));  // no segment level in the tables
    cells.push_back(cell("LSH, " + ranking, "noise+reverb", 1, 49 - more, 10));
    cells.push_back(cell("LSH, " + ranking, "noise+reverb", 2, 60, 76));
    cells.push_back(cell("LSH, " + ranking, "noise", 2, 5, 91));
  }
  // Lost: 1, 0, 4, -1 by the score; 2, 0, 4, -1 by the vote.
  const BenchResult result = bench({{"cells", cells}});
  EXPECT_EQ(result.name, "lsh");
  EXPECT_NEAR(result.value, 9.0 / 8, 1e-9);
  EXPECT_EQ(result.unit, "points below exact");
  EXPECT_NEAR(result.ratio, (2 * 280.0 - 9) / (2 * 280.0), 1e-9);
  const std::string worst = " points on average, and most, 4 points, at audio level, 2 s, noise+reverb 0 dB";
  EXPECT_THAT(log_.str(), AllOf(HasSubstr("scored: LSH loses 1" + worst), HasSubstr("vote: LSH loses 1.25" + worst)));
}

TEST_F(BenchLsh, SaysWhatItCannotUse) {
  const auto error = [&](const nlohmann::json& results) -> std::string {
    try {
      bench(results);
    } catch (const Error& problem) {
      return problem.what();
    }
    return "";
  };
  EXPECT_THAT(error({{"figures", 1}}), HasSubstr("results.json: not the results.json of reproduce"));
  EXPECT_THAT(error({{"cells", {cell("exact, scored", "clean", 1, 1, 1)}}}),
              HasSubstr("results.json: has no figures for both exact search and LSH"));
  file_ = folder_ / "nowhere" / "results.json";
  EXPECT_THAT(error({}), HasSubstr("results.json: cannot be opened; run ./demo or reproduce first"));
}

TEST(BenchProgramWhole, QueryEndsWithOneJsonLine) {
  for (const bool lsh : {false, true}) {
    std::vector<std::string> arguments = {
        "query", "--fingerprints", "2000", "--repetitions", "1", "--model", "no model is there", "--threads", "1"};
    if (lsh) {
      arguments.emplace_back("--lsh");
    }
    const Ended ended = earmark::testing::run("bench", arguments);
    ASSERT_EQ(ended.code, 0) << ended.err;
    const nlohmann::json result = last_line(ended.out);
    EXPECT_THAT(keys_of(result), UnorderedElementsAre("name", "value", "unit", "peer", "ratio"));
    EXPECT_EQ(result.at("name"), "query");
    EXPECT_EQ(result.at("unit"), "ms");
    EXPECT_EQ(result.at("peer"), lsh ? "exact search" : "LSH");
    EXPECT_GT(result.at("value").get<double>(), 0);
    EXPECT_GT(result.at("ratio").get<double>(), 0);
    EXPECT_THAT(ended.out,
                AllOf(HasSubstr("an untrained encoder of width 8 stands in"),
                      HasSubstr(" s file to its answer among 2000 fingerprints"), HasSubstr("whole program: ")));
  }
}

TEST(BenchProgramWhole, CommunicationIsMeasuredByTheRanksTogether) {
  const std::vector<std::string> bench = {"bench", "communication", "--width", "2", "--pairs",
                                          "4",     "--repetitions", "1"};
  std::vector<std::string> arguments = {"--nproc-per-node", "2"};
  arguments.insert(arguments.end(), bench.begin(), bench.end());
  const Ended ended = earmark::testing::run("launch", arguments);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const nlohmann::json result = nlohmann::json::parse(ended.out.substr(ended.out.find('{')));
  EXPECT_EQ(result.at("name"), "communication");
  EXPECT_EQ(result.at("unit"), "% of a training step");
  EXPECT_EQ(result.at("peer"), "TCP");
  EXPECT_GT(result.at("value").get<double>(), 0);
  EXPECT_GT(result.at("ratio").get<double>(), 0);
  // Forward and backward of 13 layers, embeddings and their gradients, the buckets (one here), loss and top-1.
  EXPECT_THAT(ended.out, AllOf(HasSubstr("2 processes, width 2, 4 pairs each"), HasSubstr("its 30 exchanges alone ")));
  const Ended alone = earmark::testing::run("bench", {bench.begin() + 1, bench.end()});
  EXPECT_EQ(alone.code, 1);
  EXPECT_THAT(alone.err, HasSubstr("is for several processes: launch --nproc-per-node 2 bench communication"));
}

TEST(BenchProgramWhole, LandmarkSaysBothSidesWhereThereIsAPeer) {
  const earmark::testing::TemporaryFolder folder;
  data::compose_folder(folder / "music", {3, 8, 1, 16000, false});
  const std::vector<std::string> arguments = {
      "landmark", "--music", (folder / "music").string(), "--queries", "2", "--seconds", "2", "--repetitions",
      "1",        "--python"};
  const auto with_python = [&](const std::string& python) {
    std::vector<std::string> all = arguments;
    all.push_back(python);
    return earmark::testing::run("bench", all);
  };
  const Ended alone = with_python("");
  ASSERT_EQ(alone.code, 0) << alone.err;
  const nlohmann::json result = last_line(alone.out);
  EXPECT_EQ(result.at("name"), "landmark");
  EXPECT_EQ(result.at("unit"), "x real time on one core");
  EXPECT_EQ(result.at("peer"), "none");
  EXPECT_GT(result.at("value").get<double>(), 0);
  EXPECT_THAT(alone.out, AllOf(HasSubstr("landmark, best: 24 s of music, 2 queries of 2 s"),
                               HasSubstr(" ms (analysis + look-up)")));
  // A stand-in for the peer, which answers as experiments/peers/audfprint_landmarks.py does.
  std::ofstream(folder / "peer")
      << "#!/bin/sh\n"
         "echo '{\"peer\": \"a peer\"}'\n"
         "while read -r command file; do\n"
         "  echo '{\"seconds\": 1, \"landmarks\": 7, \"analysis\": 0.5, \"look_up\": 0.25}'\n"
         "done\n";
  std::filesystem::permissions(folder / "peer", std::filesystem::perms::owner_all);
  const Ended both = with_python((folder / "peer").string());
  ASSERT_EQ(both.code, 0) << both.err;
  EXPECT_EQ(last_line(both.out).at("peer"), "a peer");
  const double value = last_line(both.out).at("value");
  EXPECT_NEAR(last_line(both.out).at("ratio").get<double>() * 8, value, 1e-3 * value);
  EXPECT_THAT(both.out, AllOf(HasSubstr("a peer: 21 landmarks at "),
                              HasSubstr(" x real time on one core; a query 500 + 250 ms")));
  const Ended missing = with_python("no such interpreter");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("no such interpreter"));
}

TEST(BenchProgramWhole, WhatCannotBeDoneIsSaid) {
  const Ended nothing = earmark::testing::run("bench", {});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("subcommand is required"));
  const Ended missing = earmark::testing::run("bench", {"lsh", "--results", "no-such-results.json"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.out, "");
  EXPECT_EQ(missing.err, "bench: no-such-results.json: cannot be opened; run ./demo or reproduce first\n");
}

}  // namespace
}  // namespace earmark::experiments
