// Ablations: their arithmetic on figures by hand, and the whole program on composed music in tiny sizes, killed and
// started again.
#include "experiments/ablations.h"

#include <csignal>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "tests/experiments/reproduce_program.h"

namespace earmark::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;

TEST(Ablations, DeviationIsOfASample) {
  EXPECT_EQ(spread_of({}).mean, 0);
  EXPECT_EQ(spread_of({7}).mean, 7);
  EXPECT_EQ(spread_of({7}).deviation, 0);
  const Spread spread = spread_of({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_DOUBLE_EQ(spread.mean, 5);
  EXPECT_NEAR(spread.deviation, 2.138090, 1e-6) << "the square root of 32 / 7";
}

AblationMeasured measured_by_hand(std::uint64_t seed, std::int64_t hits) {
  const std::vector<Rate> rates = {{hits, 10}, {hits, 10}, {10, 10}, {10, 10}};
  const std::vector<Rate> all(4, Rate{10, 10});
  return {seed, str("runs/", seed), {rates, all}, {all, rates}, 3 + static_cast<double>(seed), 4e6};
}

AblationResults ablations_by_hand() {
  AblationResults results{{1, 5}, {1}, 5, "Database: of a test.", 3, {}};
  results.row("training", "nothing").by_seed = {measured_by_hand(1, 10), measured_by_hand(2, 6)};
  results.row("search", "int8").by_seed = {measured_by_hand(1, 0)};
  results.row("search", "never measured");
  return results;
}

TEST(Ablations, TableHasMeansAndDeviationsOverSeeds) {
  const Table table = ablation_table(ablations_by_hand());
  EXPECT_THAT(table.title, AllOf(HasSubstr("over 2 of 3 seeds"), HasSubstr("n = 40 queries")));
  EXPECT_THAT(table.heads, ElementsAre("1 s", "track, 5 s", "ms per 5 s query", "MB per hour"));
  ASSERT_EQ(table.rows.size(), 2U) << "what has no value has no row";
  const std::vector<Cell>& first = table.rows[0].cells;
  EXPECT_EQ(first[0].text, "90.0");
  EXPECT_EQ(first[0].small, "± 14.1") << "100 and 80 %";
  EXPECT_EQ(first[1].text, "90.0");
  EXPECT_EQ(first[2].text, "4.50");
  EXPECT_EQ(first[3].text, "4.00");
  EXPECT_EQ(table.rows[1].cells[0].text, "50.0");
  EXPECT_EQ(table.rows[1].cells[0].small, "") << "one seed has no deviation";
  const nlohmann::json json = nlohmann::json::parse(ablations_json(ablations_by_hand()));
  EXPECT_EQ(json["rows"][0]["changed"], "nothing");
  EXPECT_EQ(json["rows"][0]["seeds"][1]["segment"][0]["hits"], 6);
  EXPECT_EQ(json["rows"][0]["seeds"][1]["segment"][4]["length_s"], 5.0);
  EXPECT_EQ(json["rows"][0]["seeds"][1]["run"], "runs/2");
}

class AblationProgram : public ReproduceProgram {
 protected:
  void SetUp() override {
    ReproduceProgram::SetUp();
    data::compose_folder(folder_ / "train", {.tracks = 4, .seconds = 3, .seed = 5});
    std::ofstream(config_) << R"(
train: {steps: 12, learning_rate: 1.0e-3, schedule: cosine, checkpoint_interval: 2}
data:
  music: [train]
  colored_noise: [pink]
  rooms: 2
  room_rt60_s: [0.15, 0.3]
  store: pcm
features: {mel_bands: 16, frames: 24, normalization: max_relative}
encoder: {width: 2, embedding: 16, head_hidden: 4, attention_scale: area, attention_init: zero}
pairs: {count: 4, draws: uniform_time}
validation: {tracks: 1, seconds: 2, queries: 8, interval: 0}
reproduce:
  database: music
  excerpts: 3
  rooms: 1
  lsh_bits: 8
  lengths_s: [0.96, 2]
  precisions: [fp32, int8]
  ablations:
    seeds: [1, 2]
    variations: [encoder.attention=none, encoder.attention_scale=hundred & encoder.attention_init=normal]
    hops_s: [0.05, 0.1]
)";
  }

  std::vector<std::string> arguments_to(const fs::path& out, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{config_.string(), "--out", out.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ended ablate(const fs::path& out, const std::vector<std::string>& more = {}) const {
    return earmark::testing::run("reproduce", arguments_to(out, more));
  }
  // How many there are now; 0 where the folder changes under the eyes.
  static std::int64_t files_in(const fs::path& folder, const std::string& name) {
    std::int64_t count = 0;
    try {
      for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        count += entry.path().filename().string().starts_with(name) ? 1 : 0;
      }
    } catch (const fs::filesystem_error&) {
      return 0;
    }
    return count;
  }
  // What was measured, without the times.
  static nlohmann::json measured_in(const fs::path& out) {
    nlohmann::json json = nlohmann::json::parse(bytes_of(out / "ablations.json"));
    for (nlohmann::json& row : json["rows"]) {
      for (nlohmann::json& seed : row["seeds"]) {
        seed.erase("ms_per_query");
      }
    }
    return json;
  }
};

class AblationProgramWhole : public AblationProgram {};

TEST_F(AblationProgramWhole, TrainsAndSearchesEverythingAndGoesOnWhereItWasKilled) {
  const Ended straight = ablate(folder_ / "straight");
  ASSERT_EQ(straight.code, 0) << straight.err;
  EXPECT_EQ(straight.out, bytes_of(folder_ / "straight" / "ablations.md"));
  EXPECT_THAT(straight.out, AllOf(HasSubstr("mean ± deviation over 2 seeds, n = 12 queries"),
                                  HasSubstr("| training | nothing "), HasSubstr("| encoder.attention=none "),
                                  HasSubstr("| encoder.attention_scale=hundred & encoder.attention_init=normal ")));
  for (const std::string searched : {"exact, vote", "LSH, scored", "LSH, vote", "int8", "hop 0.05 s"}) {
    EXPECT_THAT(straight.out, HasSubstr("| search   | " + searched + ' '));
  }
  EXPECT_THAT(straight.err, HasSubstr("run 6 of 6: encoder.attention_scale=hundred & encoder.attention_init=normal, "
                                      "seed 2"));
  // Killed in a training that has a checkpoint, then among the cells of a later model, then left alone.
  const auto killed_when = [&](const std::function<bool()>& condition) {
    earmark::testing::Program program("reproduce", arguments_to(out_));
    ASSERT_TRUE(program.wait_until(condition)) << program.err();
    program.kill(SIGKILL);
    ASSERT_EQ(program.wait(), -SIGKILL);
  };
  killed_when([&] { return files_in(out_ / "runs", "step-") > 0; });
  killed_when([&] { return cells_called("noise") >= 18; });  // the unchanged one has 16
  const Ended ended = ablate(out_);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, AllOf(HasSubstr("run 1 of 6: as configured, seed 1: was there"),
                               HasSubstr("queries: 0 excerpts made, 3 were there")));
  EXPECT_EQ(measured_in(out_), measured_in(folder_ / "straight")) << "bit for bit";
  // All of it is there: nothing is trained or searched, and the table is the same, times included.
  const Ended again = ablate(out_);
  EXPECT_EQ(again.out, ended.out);
  EXPECT_THAT(again.err, HasSubstr("run 6 of 6: encoder.attention_scale=hundred & encoder.attention_init=normal, "
                                   "seed 2: was there"));
  EXPECT_THAT(again.err, Not(::testing::ContainsRegex("search: [1-9]")));
}

TEST_F(AblationProgramWhole, StopsAtASignalAndGoesOn) {
  const std::vector<std::string> one = {"--set", "reproduce.ablations.seeds=[3]",
                                        "--set", "reproduce.ablations.variations=[]",
                                        "--set", "train.steps=2000"};
  earmark::testing::Program program("reproduce", arguments_to(out_, one));
  ASSERT_TRUE(program.wait_until([&] { return files_in(out_ / "runs", "step-") > 0; })) << program.err();
  program.kill(SIGINT);
  EXPECT_EQ(program.wait(), 0) << program.err();
  EXPECT_THAT(program.err(), HasSubstr("stopped; the same command goes on"));
  EXPECT_EQ(program.out(), "");
  EXPECT_EQ(files_in(out_ / "runs", "config.yaml"), 1);
}

TEST_F(AblationProgramWhole, WhatIsWrongIsToldBeforeTheFirstTraining) {
  struct Wrong {
    std::vector<std::string> more;
    int code;
    std::string says;
  };
  for (const Wrong& wrong :
       {Wrong{{"--set", "reproduce.ablations.variations=[encoder.attention=thrice]"}, 1, "encoder.attention"},
        Wrong{{"--set", "reproduce.ablations.variations=[encoder.atention=none]"}, 1, "nearest known key"},
        Wrong{{"--set", "reproduce.ablations.seeds=[]"}, 1, "there are no seeds"},
        Wrong{{"--set", "reproduce.ablations.seeds=[1.5]"}, 1, "whole numbers"},
        Wrong{{"--set", "reproduce.database=nowhere"}, 1, "nowhere"},
        Wrong{{"--model", model_.string()}, 2, "train their own models"}}) {
    const Ended ended = ablate(out_, wrong.more);
    EXPECT_EQ(ended.code, wrong.code) << ended.all();
    EXPECT_THAT(ended.err, HasSubstr(wrong.says));
    EXPECT_EQ(ended.out, "");
    EXPECT_FALSE(fs::exists(out_ / "runs"));
  }
}

TEST_F(AblationProgram, RunsAreKeptByWhatTheyDependOn) {
  const AblationRequest request{config_, {}, out_, {}, {}, false};
  const AblationOptions options{{"encoder.attention=none"}, {1}, {}};
  const std::vector<AblationRun> runs = plan_runs(options, request, 1);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_NE(runs[0].folder(), runs[1].folder());
  EXPECT_EQ(runs[1].options.encoder.attention, nn::Attention::none);
  EXPECT_NE(plan_runs(options, request, 2)[0].folder(), runs[0].folder());
  // How it is searched is not of the training.
  const AblationRequest searched{config_, {"reproduce.excerpts=9"}, out_, {}, {}, false};
  EXPECT_EQ(plan_runs(options, searched, 1)[0].folder(), runs[0].folder());
  const AblationRequest longer{config_, {"train.steps=25"}, out_, {}, {}, false};
  EXPECT_NE(plan_runs(options, longer, 1)[0].folder(), runs[0].folder());
}

TEST(Ablations, TheConfigurationThatIsThereIsWhole) {
  const fs::path config = fs::path(EARMARK_SOURCE_DIR) / "configs" / "ablations.yaml";
  const AblationRequest request{config, {"data.music=[x]"}, "out", {}, {}, false};
  train::Config file = train::Config::load(config);
  const ReproduceOptions options = read_reproduce_options(file);
  file.finish();
  EXPECT_GE(options.ablations.seeds.size(), 3U);
  EXPECT_EQ(plan_runs(options.ablations, request, 1).size(), 7U);
  EXPECT_EQ(options.precisions.size(), 3U);
}

}  // namespace
}  // namespace earmark::experiments
