// The whole path on composed music with a tiny untrained encoder: tables, files, and stages that are not run twice.
#include "experiments/reproduce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "data/composer.h"
#include "kernels/error.h"
#include "nn/model.h"
#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

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
    std::vector<std::string> overrides = {"reproduce.database=" + (folder_ / "music").string(), "reproduce.excerpts=4",
                                          "reproduce.rooms=1", "reproduce.lsh_bits=10",
                                          "reproduce.lengths_s=[0.96, 2]"};
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

  earmark::testing::TemporaryFolder folder_;
  ReproduceRequest request_;
  std::vector<std::string> said_;
};

TEST_F(WholeReproduce, FindsCleanQueriesAndReusesItsStages) {
  const std::string tables = run(options());
  EXPECT_THAT(tables, HasSubstr("Table 1."));
  EXPECT_THAT(tables, HasSubstr("LSH, vote"));
  EXPECT_EQ(text_of(request_.out / "tables.md"), tables);
  EXPECT_THAT(text_of(request_.out / "report.html"), HasSubstr("</html>"));
  const nlohmann::json json = nlohmann::json::parse(text_of(request_.out / "results.json"));
  EXPECT_EQ(json["database"]["tracks"], 4);
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
  EXPECT_EQ(run(options()), tables);
  EXPECT_THAT(said_, Contains(HasSubstr("tables: were there")));
  EXPECT_THAT(said_, Contains(HasSubstr("4 were there")));
  run(options({"reproduce.seed=7"}));
  EXPECT_THAT(said_, ::testing::Not(Contains(HasSubstr("tables: were there"))));
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
  request_.peer = folder_ / "oracle.tsv";
  request_.out = folder_ / "again";
  const std::string tables = run(options());
  EXPECT_THAT(tables, HasSubstr("| oracle"));
  const nlohmann::json json = nlohmann::json::parse(text_of(request_.out / "results.json"));
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

TEST_F(WholeReproduce, SaysWhatIsMissing) {
  train::Config config = train::Config::parse("", "empty.yaml");
  const ReproduceOptions nothing = read_reproduce_options(config);
  EXPECT_THROW(run(nothing), Error);
  train::Config wrong = train::Config::parse("reproduce: {exerpts: 3}", "wrong.yaml");
  read_reproduce_options(wrong);
  EXPECT_THROW(wrong.finish(), Error);
}

}  // namespace
}  // namespace earmark::experiments
