// The programs with --device cuda: the CPU's results, and one clear sentence where there is no GPU to be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "data/composer.h"
#include "search/index_store.h"
#include "tests/cuda/commands.h"
#include "tests/cuda/gpu.h"
#include "tests/program.h"
#include "tests/search/composed.h"
#include "tests/train/example_run.h"

namespace earmark::search {
namespace {

using earmark::testing::commands;
using earmark::testing::Ended;
using earmark::testing::run;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(const std::string& text, char separator) {
  Rows rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    rows.emplace_back();
    for (std::string field; std::getline(fields, field, separator);) {
      rows.back().push_back(field);
    }
  }
  return rows;
}

/// The same words; the numbers of `columns`, as they are printed, may differ by that much.
void expect_same(const Rows& got, const Rows& want, const std::map<std::size_t, double>& columns) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t row = 0; row < want.size(); ++row) {
    ASSERT_EQ(got[row].size(), want[row].size()) << "row " << row;
    for (std::size_t i = 0; i < want[row].size(); ++i) {
      const auto tolerance = columns.find(i);
      if (row == 0 || tolerance == columns.end() || want[row][i].empty()) {
        EXPECT_EQ(got[row][i], want[row][i]) << "row " << row;
      } else {
        EXPECT_NEAR(std::stod(got[row][i]), std::stod(want[row][i]), tolerance->second) << "row " << row;
      }
    }
  }
}

/// Compared in fp32: by default CPUs may round what convolutions multiply, GPUs do not.
class GpuProgramsWhole : public earmark::testing::GpuTest {
 protected:
  static constexpr int kTracks = 2;

  Ended build(const std::string& device) const {
    return run("index", {"build", index(device), "--model", composed_.model().string(), composed_.music().string(),
                         "--device", device, "--fp32"});
  }
  std::string index(const std::string& device) const { return (composed_.folder / ("index-" + device)).string(); }
  /// A list of excerpts, one of them not to be decoded.
  std::string list() const {
    const std::filesystem::path file = composed_.folder / "queries.csv";
    std::ofstream out(file);
    out << "query_id,path\n";
    for (int i = 0; i < kTracks; ++i) {
      const std::string name = "query-" + std::to_string(i) + ".wav";
      composed_.write(name, composed_.part(i, 0.5 + 0.1 * i, 1.3 + 0.1 * i));
      out << i << ',' << name << '\n';
    }
    composed_.write("noise.wav", std::vector<float>());
    out << "empty,noise.wav\n";
    return file.string();
  }
  /// What `device` answers from the index that it built itself.
  Rows answers(const std::string& device, const std::string& method, const std::string& ranking) const {
    const Ended ended = run("search", {index(device), "--list", list(), "--method", method, "--ranking", ranking,
                                       "--lsh-tables", "10", "--lsh-bits", "10", "--device", device, "--fp32"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("device " + device));
    return rows_of(ended.out, '\t');
  }

  const Composed composed_{kTracks, 2.5};
};

TEST_F(GpuProgramsWhole, IndexAndSearchGiveTheCpusResults) {
  for (const char* device : {"cpu", "cuda"}) {
    const Ended built = build(device);
    ASSERT_EQ(built.code, 0) << built.err;
    EXPECT_THAT(built.err, HasSubstr(std::string("device ") + device));
    EXPECT_THAT(built.out, HasSubstr("added 2,"));
  }
  const IndexStore cpu = IndexStore::open(index("cpu"));
  const IndexStore gpu = IndexStore::open(index("cuda"));
  ASSERT_EQ(gpu.database().rows(), cpu.database().rows());
  const Tensor want = cpu.database().widened(0, cpu.database().rows());
  const Tensor got = gpu.database().widened(0, gpu.database().rows());
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    ASSERT_NEAR(got.data<float>()[i], want.data<float>()[i], 1e-4) << i;
  }
  for (const char* method : {"exact", "lsh"}) {
    for (const char* ranking : {"scored", "vote"}) {
      const Rows expected = answers("cpu", method, ranking);
      ASSERT_EQ(expected.size(), 4U);
      EXPECT_EQ(expected[1][1], "track-0.wav");
      SCOPED_TRACE(std::string(method) + ", " + ranking);
      expect_same(answers("cuda", method, ranking), expected, {{2, 1.1e-3}, {3, 1.1e-4}});
    }
  }
}

TEST_F(GpuProgramsWhole, WithoutAChoiceTheGpuIsTakenAndNamed) {
  composed_.add({composed_.music()});
  const std::string query = (composed_.music() / Composed::name(0)).string();
  const Ended ended = run("search", {composed_.index().string(), query, "--device", "auto"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, StartsWith("device cuda:0 ("));
  EXPECT_THAT(ended.out, HasSubstr("track-0.wav"));
}

class GpuTrainingProgramsWhole : public earmark::testing::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    data::compose_folder(folder_ / "music", {.tracks = 3, .seconds = 4, .seed = 1});
  }
  std::string folder(const std::string& name) const { return (folder_ / name).string(); }
  /// The demo's configuration, made tiny.
  std::vector<std::string> settings(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{std::string(EARMARK_SOURCE_DIR) + "/configs/demo.yaml"};
    for (const std::string& setting : more) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    return arguments;
  }
  /// At a width of 2 batches are nearly degenerate: two updates of Adam make 3e-4 of the last bits of the losses; at 4
  /// they stay within 1e-5.
  Ended train(const std::string& device) const {
    std::vector<std::string> arguments =
        settings({"train.steps=3", "train.precision=fp32", "data.music=" + folder("music"),
                  "data.store=" + folder("pcm"), "data.rooms=2", "features.mel_bands=16", "features.frames=24",
                  "encoder.width=4", "encoder.embedding=16", "encoder.head_hidden=4", "pairs.count=4",
                  "validation.tracks=1", "validation.seconds=2", "validation.queries=4"});
    arguments.insert(arguments.end(), {"--device", device, "--out", folder("run-" + device)});
    return run("train", arguments);
  }
  Ended reproduce(const std::string& device) const {
    std::vector<std::string> arguments =
        settings({"reproduce.database=" + folder("music"), "reproduce.excerpts=2", "reproduce.rooms=1",
                  "reproduce.lsh_bits=8", "reproduce.lengths_s=[0.96, 2]", "reproduce.track_lengths_s=[2]"});
    arguments.insert(arguments.end(), {"--model", folder("model.safetensors"), "--device", device, "--fp32", "--out",
                                       folder("tables-" + device)});
    return run("reproduce", arguments);
  }
  std::string text(const std::string& file) const { return earmark::testing::bytes_of(folder_ / file); }
  /// The figures, but for how long they took.
  nlohmann::json results(const std::string& device) const {
    nlohmann::json json = nlohmann::json::parse(text("tables-" + device + "/results.json"));
    EXPECT_EQ(json.erase("seconds_per_query"), 1U);
    for (nlohmann::json& system : json.at("systems")) {
      EXPECT_EQ(system.erase("seconds_per_query"), 1U);
    }
    return json;
  }

  earmark::testing::TemporaryFolder folder_;
};

TEST_F(GpuTrainingProgramsWhole, TrainGivesTheCpusLosses) {
  for (const char* device : {"cpu", "cuda"}) {
    const Ended trained = train(device);
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_THAT(trained.err, HasSubstr(std::string("device ") + device));
    EXPECT_THAT(trained.all(), HasSubstr("done: 3 steps"));
  }
  const Rows want = rows_of(text("run-cpu/log.csv"), ',');
  const Rows got = rows_of(text("run-cuda/log.csv"), ',');
  ASSERT_EQ(want.size(), 4U);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t step = 1; step < want.size(); ++step) {
    EXPECT_NEAR(std::stod(got[step][1]), std::stod(want[step][1]), 1e-4) << "step " << step;
  }
}

TEST_F(GpuTrainingProgramsWhole, ReproduceGivesTheCpusTables) {
  const train::TrainOptions tiny = train::tiny_options();
  nn::save_model(folder("model.safetensors"), listening_model(tiny.features, tiny.encoder, 1));
  for (const char* device : {"cpu", "cuda"}) {
    const Ended ended = reproduce(device);
    ASSERT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(std::string("device ") + device));
  }
  EXPECT_TRUE(results("cuda") == results("cpu"));  // too long to be shown
  EXPECT_GT(results("cpu")["cells"].size(), 28U);
  expect_same(rows_of(text("tables-cuda/answers.tsv"), '\t'), rows_of(text("tables-cpu/answers.tsv"), '\t'),
              {{4, 1e-3}, {5, 1e-4}});
}

TEST_F(GpuProgramsWhole, DevicesThatAreNotThereAreRefused) {
  composed_.add({composed_.music()});
  for (const auto& [program, arguments] : commands(composed_)) {
    const auto with_device = [&, &name = program, &common = arguments](const std::string& device) {
      std::vector<std::string> all = common;
      all.insert(all.end(), {"--device", device});
      const Ended ended = run(name, all);
      EXPECT_EQ(ended.code, 1) << name << " " << ended.err;
      EXPECT_EQ(ended.out, "") << name;
      EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
      return ended.err;
    };
    EXPECT_THAT(with_device("cuda:17"), AllOf(StartsWith(program + ": device 'cuda:17': this machine has "),
                                              HasSubstr(", counted from cuda:0\n")));
    EXPECT_EQ(with_device("gpu"), program + ": device: expected cpu, cuda, cuda:<index> or auto, got 'gpu'\n");
  }
}

}  // namespace
}  // namespace earmark::search
