// The whole path on composed music with a tiny untrained encoder: tables, files, and stages that are not run twice.
#include "experiments/reproduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/composer.h"
#include "kernels/error.h"
#include "nn/model.h"
#include "search/index_writer.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

using earmark::testing::bytes_of;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// The heads of the Markdown table below the heading that begins so.
std::vector<std::string> columns_of(const std::string& tables, const std::string& heading) {
  const std::size_t begin = tables.find("\n|", tables.find("### " + heading));
  std::istringstream head(tables.substr(begin + 2, tables.find('\n', begin + 1) - begin - 2));
  std::vector<std::string> out;
  for (std::string field; std::getline(head, field, '|');) {
    const std::size_t first = field.find_first_not_of(' ');
    out.push_back(field.substr(first, field.find_last_not_of(' ') - first + 1));
  }
  return out;
}

MATCHER_P(IsMultipleOf, step, "") { return std::abs(arg / step - std::round(arg / step)) < 1e-4; }

class WholeReproduce : public ::testing::Test {
 protected:
  void SetUp() override {
    data::compose_folder(folder_ / "music", {4, 8, 1, 16000, false});
    FeatureOptions features;
    features.normalization = FeatureOptions::Normalization::max_relative;
    nn::EncoderOptions encoder;
    encoder.width = 4;
    encoder.convolution_init = nn::ConvolutionInit::kaiming;
    encoder.attention_init = nn::AttentionInit::zero;
    encoder.attention_scale = nn::AttentionScale::area;
    nn::save_model(folder_ / "model.safetensors", nn::make_model(features, encoder));
    request_.model = folder_ / "model.safetensors";
    request_.out = folder_ / "out";
    request_.progress = false;
  }

  ReproduceOptions options(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> overrides = {"reproduce.database=" + (folder_ / "music").string(),
                                          "reproduce.excerpts=4",
                                          "reproduce.rooms=1",
                                          "reproduce.lsh_bits=10",
                                          "reproduce.lengths_s=[0.96, 2]",
                                          "reproduce.report_examples=1"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    train::Config config = train::Config::parse("train: {steps: 3}", "test.yaml", overrides);
    ReproduceOptions out = read_reproduce_options(config);
    config.finish();
    return out;
  }

  std::string run(const ReproduceOptions& options) {
    said_.clear();
    return reproduce(options, request_, [&](const std::string& line) { said_.push_back(line); });
  }

  /// Where a system's answers say that the queries begin, s.
  std::vector<double> places_of(const std::string& system) const {
    std::ifstream in(request_.out / "answers.tsv");
    std::vector<double> out;
    for (std::string line; std::getline(in, line);) {
      std::istringstream row(line);
      std::vector<std::string> fields;
      for (std::string field; std::getline(row, field, '\t');) {
        fields.push_back(field);
      }
      if (fields.at(0) == system) {
        out.push_back(std::stod(fields.at(4)));
      }
    }
    EXPECT_GT(out.size(), 100U);
    return out;
  }

  earmark::testing::TemporaryFolder folder_;
  ReproduceRequest request_;
  std::vector<std::string> said_;
};

TEST_F(WholeReproduce, FindsCleanQueriesAndReusesItsStages) {
  const std::string tables = run(options());
  EXPECT_THAT(tables, HasSubstr("Table 1."));
  EXPECT_THAT(tables, HasSubstr("LSH, vote"));
  EXPECT_THAT(said_, Contains("search: 28 cells searched, 0 were there"));
  EXPECT_EQ(bytes_of(request_.out / "tables.md"), tables);
  EXPECT_THAT(bytes_of(request_.out / "report.html"), HasSubstr("</html>"));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  EXPECT_EQ(json["database"]["tracks"], 4);
  // What was searched is said, and how: 4 tracks of 8 s, a fingerprint of 0.96 s every 0.1 s.
  EXPECT_EQ(json["database"]["fingerprints"], 4 * 71);
  EXPECT_THAT(tables, HasSubstr("Database: music, 4 tracks, 0.0 h, 284 fingerprints as fp32."));
  EXPECT_THAT(tables, HasSubstr("The paper's database is the Free Music Archive, larger and of other music"));
  EXPECT_THAT(columns_of(tables, "Table 1 in full"),
              ElementsAre("length", "SNR", "exact, scored", "exact, vote", "LSH, scored", "LSH, vote", "paper"));
  EXPECT_THAT(columns_of(tables, "Table 2 in full"), ElementsAre("distortion", "SNR or RT60", "exact, scored",
                                                                 "exact, vote", "LSH, scored", "LSH, vote", "paper"));
  EXPECT_THAT(bytes_of(request_.out / "queries" / "queries.csv"),
              StartsWith("query_id,path,track_id,start_s,length_s,condition,snr_db,rt60_s,noise_kind,equivalent_starts,"
                         "repeats\n"));
  // Even an untrained encoder finds what it has stored: clean queries differ by less than half a hop.
  bool found = false;
  for (const nlohmann::json& cell : json["cells"]) {
    if (cell["condition"] == "clean" && cell["search"] == "exact, scored" && cell["length_s"] == 2.0) {
      EXPECT_GE(cell["audio"]["hits"], 3) << cell.dump();
      EXPECT_GE(cell["segment"]["hits"], 2) << cell.dump();
      EXPECT_EQ(cell["n"], 4);
      found = true;
    }
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(run(options()), tables) << "with the same times: nothing was searched";
  EXPECT_THAT(said_, Contains("index: 0 tracks added, 4 were there, 0 skipped"));
  EXPECT_THAT(said_, Contains("queries: 0 excerpts made, 4 were there"));
  EXPECT_THAT(said_, Contains("search: 0 cells searched, 28 were there"));
  run(options({"reproduce.seed=7"}));
  EXPECT_THAT(said_, Contains("queries: 4 excerpts made, 0 were there"));
  EXPECT_THAT(said_, Contains("search: 28 cells searched, 0 were there"));
}

TEST_F(WholeReproduce, SearchesOnlyTheCellsThatAreMissing) {
  run(options());
  const std::string answers = bytes_of(request_.out / "answers.tsv");
  // What a killed run leaves out, and what a full disk may leave.
  int removed = 0;
  for (const auto& file : std::filesystem::directory_iterator(request_.out / "cells")) {
    const std::string name = file.path().filename();
    if (name.starts_with("clean.exact")) {
      removed += std::filesystem::remove(file) ? 1 : 0;
    } else if (name.starts_with("noise-snr5.lsh")) {
      std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
      ++removed;
    }
  }
  ASSERT_EQ(removed, 2);
  run(options());
  EXPECT_THAT(said_, Contains("search: 2 cells searched, 26 were there"));
  EXPECT_EQ(bytes_of(request_.out / "answers.tsv"), answers);
  run(options({"reproduce.lsh_probes=100"}));
  EXPECT_THAT(said_, Contains("search: 14 cells searched, 14 were there")) << "exact search has no probes";
  run(options({"reproduce.neighbours=6"}));
  EXPECT_THAT(said_, Contains("search: 28 cells searched, 0 were there"));
  run(options({"reproduce.lsh=false"}));
  EXPECT_THAT(said_, Contains("search: 0 cells searched, 14 were there"));
  // One sound file changes, and with it the cells of its condition.
  std::filesystem::last_write_time(request_.out / "queries" / "0002-clean.wav",
                                   std::filesystem::file_time_type::clock::now() + std::chrono::seconds(5));
  run(options());
  EXPECT_THAT(said_, Contains("search: 2 cells searched, 26 were there"));
  // Other thresholds, other matches.
  const std::string index = "index-" + nn::model_hash(nn::load_model(request_.model)).substr(0, 8);
  search::IndexWriter::open(request_.out / index).set_calibration({{{1, 0.5}}, 0.01, "a test"});
  run(options());
  EXPECT_THAT(said_, Contains("search: 28 cells searched, 0 were there"));
}

TEST_F(WholeReproduce, ComparesWhatChoicesCost) {
  const std::string tables =
      run(options({"reproduce.query_hops_s=[0.1, 0.05]", "reproduce.precisions=[fp32, int8]", "reproduce.lsh=false"}));
  EXPECT_THAT(tables, HasSubstr("What the choices cost"));
  EXPECT_THAT(tables, HasSubstr("| int8, 0.05 s"));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  EXPECT_EQ(json["database"]["precision"], "fp32");
  EXPECT_EQ(json["query_hop_s"], 0.1);
  ASSERT_EQ(json["choices"].size(), 4U);
  const nlohmann::json& plain = json["choices"][0];
  const nlohmann::json& small = json["choices"][1];
  EXPECT_EQ(plain["precision"], "fp32");
  EXPECT_EQ(small["precision"], "int8");
  EXPECT_NEAR(plain["bytes_per_hour"].get<double>() / small["bytes_per_hour"].get<double>(), 512.0 / 132, 0.5);
  ASSERT_EQ(plain["rates"].size(), 2U);
  // The plain combination is what the tables show.
  std::int64_t hits = 0;
  for (const nlohmann::json& cell : json["cells"]) {
    if (cell["condition"] == "noise+reverb" && cell["search"] == "exact, scored" && cell["length_s"] == 2.0) {
      hits += cell["segment"]["hits"].get<std::int64_t>();
    }
  }
  EXPECT_EQ(plain["rates"][1]["segment"]["hits"], hits);
  EXPECT_EQ(plain["rates"][1]["segment"]["n"], 16);
}

TEST_F(WholeReproduce, MakesTheTablesWithTheFirstChoice) {
  EXPECT_THAT(run(options({"reproduce.query_hops_s=0.05", "reproduce.precisions=int8", "reproduce.lsh=false"})),
              ::testing::AllOf(HasSubstr("fingerprints as int8"), HasSubstr("a fingerprint every 0.05 s"),
                               Not(HasSubstr("What the choices cost"))));
  for (const auto& entry : std::filesystem::directory_iterator(request_.out)) {
    if (entry.path().filename().string().ends_with("-int8")) {
      request_.index = entry.path();
    }
  }
  try {
    run(options({"reproduce.precisions=fp16"}));
    FAIL() << "int8 has not the precision of fp16";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("is stored as int8; a copy of it as fp16 would be no more precise"));
  }
}

TEST_F(WholeReproduce, TakesOutsideQueriesAndAnotherSystemsAnswers) {
  run(options());
  // A perfect oracle as the other system.
  const QuerySet set = read_query_set(request_.out / "queries");
  std::ofstream tsv(folder_ / "oracle.tsv");
  tsv << "query_id\ttrack\tstart_s\n";
  for (const Query& query : set.queries) {
    tsv << query.id << '\t' << query.track << '\t' << query.start_s << '\n';
  }
  tsv.close();
  request_.queries = request_.out / "queries";
  request_.answers = {{"oracle", folder_ / "oracle.tsv"}};
  request_.out = folder_ / "again";
  const std::string tables = run(options());
  EXPECT_THAT(tables, HasSubstr("| oracle"));
  EXPECT_THAT(tables, HasSubstr("**100** "));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  int cells = 0;
  for (const nlohmann::json& cell : json["cells"]) {
    if (cell["search"] == "oracle") {
      EXPECT_EQ(cell["segment"]["hits"], cell["n"]);
      EXPECT_EQ(cell["length_s"], 2.0);
      ++cells;
    }
  }
  EXPECT_EQ(cells, 14);
}

TEST_F(WholeReproduce, AnswersFromEarlierAreRowsWhereTheQueriesAreTheSame) {
  const std::string landmarks = "landmarks (audfprint), best";
  run(options({"reproduce.landmarks=[best]", "reproduce.lsh=false"}));
  const nlohmann::json searched = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  const std::filesystem::path file = request_.out / "answers" / (landmarks + ".tsv");
  ASSERT_TRUE(std::filesystem::exists(file));
  const std::string given = "reproduce.answers=['Landmarks=" + file.string() + "']";
  const std::string tables = run(options({given, "reproduce.lsh=false"}));
  EXPECT_THAT(tables, HasSubstr("| Landmarks (earlier)"));
  EXPECT_THAT(tables, HasSubstr("read from a file instead of searched now"));
  const nlohmann::json read = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  const auto cells_of = [](const nlohmann::json& json, const std::string& system) {
    std::vector<nlohmann::json> out;
    for (nlohmann::json cell : json["cells"]) {
      if (cell["search"] == system) {
        cell.erase("search");
        out.push_back(cell);
      }
    }
    return out;
  };
  EXPECT_EQ(cells_of(read, "Landmarks (earlier)").size(), 28U) << "14 conditions, two lengths";
  EXPECT_EQ(cells_of(read, "Landmarks (earlier)"), cells_of(searched, landmarks));
  request_.out = folder_ / "other";
  const std::string other = run(options({given, "reproduce.lsh=false", "reproduce.seed=7"}));
  EXPECT_THAT(other, Not(HasSubstr("Landmarks (earlier)")));
  const std::string reason = "Landmarks: no row from the answers in " + landmarks + ".tsv: they are to other queries";
  EXPECT_THAT(other, HasSubstr("Left out: " + reason + "."));
  EXPECT_THAT(said_, Contains(reason));
  EXPECT_THAT(bytes_of(request_.out / "report.html"), HasSubstr("Left out: "));
  EXPECT_EQ(nlohmann::json::parse(bytes_of(request_.out / "results.json"))["left_out"].size(), 1U);
}

TEST_F(WholeReproduce, LandmarksAnswerTheSameQueriesAtEveryLength) {
  const std::vector<std::string> more = {"reproduce.landmarks=[default, best]", "reproduce.lsh=false"};
  const std::string tables = run(options(more));
  EXPECT_THAT(said_, Contains("landmarks, default: 4 tracks added, 0 were there, 0 skipped; 14 cells searched, 0 were "
                              "there"));
  EXPECT_THAT(columns_of(tables, "Table 1 in full"),
              ElementsAre("length", "SNR", "exact, scored", "exact, vote", "landmarks (audfprint), default",
                          "landmarks (audfprint), best", "paper"));
  EXPECT_THAT(tables, HasSubstr("| landmarks (audfprint), best |"));
  EXPECT_THAT(tables, HasSubstr("What every system takes"));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  int cells = 0;
  for (const nlohmann::json& cell : json["cells"]) {
    if (cell["search"] == "landmarks (audfprint), best") {
      ++cells;
      EXPECT_EQ(cell["n"], 4);
      if (cell["condition"] == "clean" && cell["length_s"] == 2.0) {
        EXPECT_GE(cell["segment"]["hits"], 3) << cell.dump();
      }
    }
  }
  EXPECT_EQ(cells, 28) << "14 conditions, two lengths";
  EXPECT_EQ(run(options(more)), tables);
  EXPECT_THAT(said_, Contains("landmarks, best: 0 tracks added, 4 were there, 0 skipped; 0 cells searched, 14 were "
                              "there"));
  EXPECT_THAT(said_, Contains("search: 0 cells searched, 14 were there"));
}

TEST_F(WholeReproduce, EachTableHasItsLengths) {
  const std::string tables =
      run(options({"reproduce.lengths_s=[0.96]", "reproduce.track_lengths_s=[1, 6]", "reproduce.lsh=false"}));
  EXPECT_THAT(tables, HasSubstr("Table 2. Reverb: right track, 6 s"));
  EXPECT_THAT(tables, HasSubstr("Table 2 at other lengths."));
  EXPECT_THAT(tables, HasSubstr("| noise + reverb, 1 s "));
  EXPECT_THAT(tables, HasSubstr("Table 1 with wider tolerances."));
  EXPECT_THAT(tables, HasSubstr("| 0.96 s, 500 ms "));
  EXPECT_THAT(tables, Not(HasSubstr("| 6 s, 500 ms ")));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  EXPECT_EQ(json["lengths_s"], nlohmann::json::parse(R"({"headline": 6.0, "table_1": [0.96], "table_2": [1.0, 6.0]})"));
  for (const Query& query : read_query_set(request_.out / "queries").queries) {
    EXPECT_EQ(query.length_s, 6);
    ASSERT_FALSE(query.repeats.empty());
    EXPECT_EQ(query.repeats.back().length_s, 6) << "what sounds the same must do so to its end";
  }
}

// Another model with features of its own: twice the hop, a longer segment, half the sample rate.
nn::Model other_model() {
  FeatureOptions features;
  features.sample_rate = 8000;
  features.f_max = 4000;
  features.n_fft = 256;
  features.hop = 80;
  features.frames = 104;
  features.hop_frames = 20;
  features.normalization = FeatureOptions::Normalization::max_relative;
  nn::EncoderOptions encoder;
  encoder.width = 2;
  encoder.convolution_init = nn::ConvolutionInit::kaiming;
  encoder.attention_init = nn::AttentionInit::zero;
  return nn::make_model(features, encoder, 7);
}

TEST_F(WholeReproduce, OtherModelsAnswerTheSameQueries) {
  nn::save_model(folder_ / "other.safetensors", other_model());
  const std::vector<std::string> more = {"reproduce.models=[again=" + request_.model.string() + "]",
                                         "reproduce.lsh=false"};
  request_.compared = {{"the other/one", folder_ / "other.safetensors"}};
  const std::string tables = run(options(more));
  EXPECT_THAT(said_, Contains("again: 4 tracks added, 0 were there, 0 skipped; 0 cells searched, 14 were there"))
      << "the same model on the same tracks";
  EXPECT_THAT(said_, Contains("the other/one: 4 tracks added, 0 were there, 0 skipped; 14 cells searched, 0 were "
                              "there"));
  EXPECT_THAT(columns_of(tables, "Table 1 in full"),
              ElementsAre("length", "SNR", "exact, scored", "exact, vote", "again", "the other/one", "paper"));
  EXPECT_THAT(tables, HasSubstr("| the other/one"));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  std::map<std::string, std::vector<nlohmann::json>> rates;
  for (const nlohmann::json& cell : json["cells"]) {
    rates[cell["search"]].push_back(cell["segment"]);
    if (cell["search"] == "the other/one" && cell["condition"] == "clean" && cell["length_s"] == 2.0) {
      EXPECT_GE(cell["audio"]["hits"], 3) << cell.dump();
    }
  }
  EXPECT_EQ(rates.at("exact, scored"), rates.at("again"));
  EXPECT_EQ(rates.at("the other/one").size(), 28U) << "14 conditions, two lengths";
  EXPECT_EQ(run(options(more)), tables);
  EXPECT_THAT(said_, Contains("the other/one: 0 tracks added, 4 were there, 0 skipped; 0 cells searched, 14 were "
                              "there"));
}

TEST_F(WholeReproduce, NafpIsRankedAsOursAndAsItsAuthorsDo) {
  FeatureOptions features;
  features.sample_rate = 8000;
  features.n_fft = 512;
  features.hop = 256;
  features.frames = 32;
  features.hop_frames = 16;
  features.mel_bands = 32;
  features.f_max = 4000;
  features.compression = FeatureOptions::Compression::log_magnitude;
  features.normalization = FeatureOptions::Normalization::batch_maximum;
  nn::EncoderOptions encoder = nn::default_encoder_options("nafp");
  encoder.width = 16;
  nn::save_model(folder_ / "nafp.safetensors", nn::make_model(features, encoder, 3));
  request_.compared = {{"NAFP", folder_ / "nafp.safetensors"}};
  const std::vector<std::string> more = {"reproduce.lsh=false"};
  const std::string tables = run(options(more));
  EXPECT_THAT(columns_of(tables, "Table 1 in full"),
              ElementsAre("length", "SNR", "exact, scored", "exact, vote", "NAFP", "NAFP, sequence search", "paper"));
  EXPECT_THAT(said_, Contains("NAFP: 4 tracks added, 0 were there, 0 skipped; 14 cells searched, 0 were there"));
  const nlohmann::json json = nlohmann::json::parse(bytes_of(request_.out / "results.json"));
  std::map<std::string, int> hits;  // of clean queries of 2 s, which any encoder finds
  std::map<std::string, int> cells;
  for (const nlohmann::json& cell : json["cells"]) {
    ++cells[cell["search"]];
    if (cell["condition"] == "clean" && cell["length_s"] == 2.0) {
      hits[cell["search"]] = cell["audio"]["hits"];
    }
  }
  EXPECT_GE(hits.at("NAFP"), 3);
  EXPECT_GE(hits.at("NAFP, sequence search"), 3);
  EXPECT_EQ(cells.at("NAFP, sequence search"), 28) << "14 conditions, two lengths";
  EXPECT_EQ(run(options(more)), tables);
  // The sequence search refines nothing: its places are whole hops, of 96 ms as ours has 100, or of its own 512 ms.
  EXPECT_THAT(places_of("NAFP, sequence search"), Each(IsMultipleOf(0.096)));
  run(options({"reproduce.lsh=false", "reproduce.models_hop_s=0.5"}));
  EXPECT_THAT(said_, Contains("NAFP: 4 tracks added, 0 were there, 0 skipped; 14 cells searched, 0 were there"));
  EXPECT_THAT(places_of("NAFP, sequence search"), Each(IsMultipleOf(0.512)));
  EXPECT_THAT(places_of("NAFP"), Not(Each(IsMultipleOf(0.512)))) << "ours is refined";
}

TEST_F(WholeReproduce, AModelThatIsTrainedAnewIsSearchedAnew) {
  const std::vector<std::string> more = {"reproduce.lsh=false"};
  nn::save_model(folder_ / "other.safetensors", other_model());
  request_.compared = {{"other", folder_ / "other.safetensors"}};
  run(options(more));
  nn::Model trained = other_model();
  trained.features.hop_frames = 10;
  nn::save_model(folder_ / "other.safetensors", trained);
  run(options(more));
  EXPECT_THAT(said_, Contains("other: 4 tracks added, 0 were there, 0 skipped; 14 cells searched, 0 were there"));
  // And the tracks are those of our index, whatever an index beside it had before.
  std::filesystem::remove(folder_ / "music" / "track-0003.wav");
  std::filesystem::remove_all(request_.out / ("index-" + nn::model_hash(nn::load_model(request_.model)).substr(0, 8)));
  run(options(more));
  EXPECT_THAT(said_, Contains("other: 0 tracks added, 3 were there, 0 skipped; 14 cells searched, 0 were there"));
  const std::string index = "index-other-" + nn::model_hash(trained).substr(0, 8) + "-every-10";
  EXPECT_EQ(search::IndexStore::open(request_.out / index).tracks().size(), 3U);
}

TEST_F(WholeReproduce, TwoRowsOfOneNameAreRefused) {
  request_.compared = {{"x", request_.model}, {"x", request_.model}};
  EXPECT_THROW(run(options()), Error);
  request_.compared = {{"ours", request_.model}};
  EXPECT_THROW(run(options()), Error);
  EXPECT_FALSE(std::filesystem::exists(request_.out));
}

std::string options_error(const std::string& text) {
  return testing::error_of([&] {
    train::Config config = train::Config::parse(text, "wrong.yaml");
    read_reproduce_options(config);
    config.finish();
  });
}

TEST_F(WholeReproduce, SaysWhatIsMissing) {
  train::Config config = train::Config::parse("", "empty.yaml");
  const ReproduceOptions nothing = read_reproduce_options(config);
  EXPECT_THROW(run(nothing), Error);
  EXPECT_THAT(options_error("reproduce: {exerpts: 3}"), HasSubstr("excerpts"));
  EXPECT_THAT(options_error("reproduce: {query_hop_s: 0.05}"), HasSubstr("query_hops_s"));
  EXPECT_THAT(options_error("reproduce: {precisions: [fp32, int4]}"), HasSubstr("expected fp32, fp16 or int8"));
  EXPECT_THAT(options_error("reproduce: {landmarks: [worst]}"),
              HasSubstr("expected default, dense or best, got 'worst'"));
  try {
    run(options({"reproduce.query_hops_s=[0.1, 0.07]"}));
    FAIL() << "0.07 does not divide 0.1";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("query hop: 0.07 s does not divide the index's 0.1 s"));
  }
}

}  // namespace
}  // namespace earmark::experiments
