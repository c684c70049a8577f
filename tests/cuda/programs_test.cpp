// The programs with --device cuda: the CPU's results, and one clear sentence where there is no GPU to be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "search/index_store.h"
#include "tests/cuda/gpu.h"
#include "tests/program.h"
#include "tests/search/composed.h"

namespace earmark::search {
namespace {

using earmark::testing::Ended;
using earmark::testing::run;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class GpuProgramsWhole : public earmark::testing::GpuTest {
 protected:
  static constexpr int kTracks = 2;

  Ended build(const std::string& device) const {
    return run("index", {"build", index(device), "--model", composed_.model().string(), composed_.music().string(),
                         "--device", device});
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
  std::vector<std::vector<std::string>> answers(const std::string& of_index, const std::string& device,
                                                const std::string& method) const {
    const Ended ended = run("search", {index(of_index), "--list", list(), "--method", method, "--lsh-tables", "10",
                                       "--lsh-bits", "10", "--device", device});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("device " + device));
    std::vector<std::vector<std::string>> rows;
    std::istringstream lines(ended.out);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      rows.emplace_back();
      for (std::string field; std::getline(fields, field, '\t');) {
        rows.back().push_back(field);
      }
    }
    return rows;
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
    const auto expected = answers("cpu", "cpu", method);
    const auto found = answers("cpu", "cuda", method);
    ASSERT_EQ(expected.size(), 4U);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 1; i < expected.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size());
      EXPECT_EQ(found[i][0], expected[i][0]);
      EXPECT_EQ(found[i][1], expected[i][1]) << method;
      EXPECT_EQ(found[i].back(), expected[i].back());
      if (!expected[i][2].empty()) {
        EXPECT_NEAR(std::stod(found[i][2]), std::stod(expected[i][2]), 2e-3) << method;
        EXPECT_NEAR(std::stod(found[i][3]), std::stod(expected[i][3]), 1e-4) << method;
      }
    }
    EXPECT_EQ(expected[1][1], "track-0.wav");
  }
}

/// Each program with what makes it compute, but for --device.
std::vector<std::pair<std::string, std::vector<std::string>>> commands(const Composed& composed) {
  const std::string index = composed.index().string();
  const std::string model = composed.model().string();
  const std::string music = composed.music().string();
  const std::string config = (composed.folder / "tiny.yaml").string();
  std::ofstream(config) << "train: {steps: 1}\ndata: {music: [music], colored_noise: [pink], store: pcm}\n"
                           "pairs: {reverb_probability: 0, both_probability: 0}\nreproduce: {database: music}\n";
  return {{"index", {"build", index + "-new", "--model", model, music}},
          {"search", {index, (composed.music() / Composed::name(0)).string()}},
          {"train", {config, "--out", (composed.folder / "run").string()}},
          {"reproduce", {config, "--model", model, "--out", (composed.folder / "tables").string()}}};
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
