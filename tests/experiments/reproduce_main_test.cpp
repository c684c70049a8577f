// `reproduce` as a program: what is printed and left behind, killed and started again, and what it is told wrongly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "data/composer.h"
#include "kernels/device_choice.h"
#include "nn/model.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
using earmark::testing::bytes_of;
using earmark::testing::Ended;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ReproduceProgramWhole : public ::testing::Test {
 protected:
  void SetUp() override {
    data::compose_folder(folder_ / "music", {4, 8, 1, 16000, false});
    FeatureOptions features;
    features.normalization = FeatureOptions::Normalization::max_relative;
    nn::EncoderOptions encoder;
    encoder.width = 2;
    encoder.convolution_init = nn::ConvolutionInit::kaiming;
    nn::save_model(model_, nn::make_model(features, encoder));
    std::ofstream(config_) << "train: {steps: 3}\n"
                           << "reproduce:\n"
                           << "  database: " << (folder_ / "music").string() << "\n"
                           << "  excerpts: 4\n"
                           << "  rooms: 1\n"
                           << "  lsh_bits: 10\n"
                           << "  lengths_s: [0.96, 2]\n";
  }

  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{config_.string(), "--model", model_.string(), "--out", out_.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ended reproduce(const std::vector<std::string>& more = {}) const {
    return earmark::testing::run("reproduce", arguments(more));
  }

  bool has_cell() const {
    const fs::path cells = out_ / "cells";
    return fs::exists(cells) && std::any_of(fs::directory_iterator(cells), {}, [](const fs::directory_entry& file) {
             const std::string name = file.path().filename();
             return name.starts_with("clean") && name.ends_with(".csv");
           });
  }

  earmark::testing::TemporaryFolder folder_;
  fs::path config_ = folder_ / "reproduce.yaml";
  fs::path model_ = folder_ / "model.safetensors";
  fs::path out_ = folder_ / "out";
};

TEST_F(ReproduceProgramWhole, PrintsTheTablesAndGoesOnWhereItWasKilled) {
  earmark::testing::Program killed("reproduce", arguments());
  ASSERT_TRUE(killed.wait_until([&] { return has_cell(); })) << killed.err();
  killed.kill(SIGKILL);
  ASSERT_EQ(killed.wait(), -SIGKILL);
  ASSERT_FALSE(fs::exists(out_ / "results.json"));
  const Ended ended = reproduce();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("Table 1."), HasSubstr("Table 2."), HasSubstr("paper: audfprint")));
  EXPECT_EQ(ended.out, bytes_of(out_ / "tables.md"));
  EXPECT_THAT(ended.err, AllOf(HasSubstr("index: 0 tracks added, 4 were there"),
                               HasSubstr("queries: 0 excerpts made, 4 were there"), HasSubstr(" cells searched, ")));
  EXPECT_THAT(ended.err, ::testing::Not(HasSubstr("search: 28 cells searched"))) << "the killed run left some";
  EXPECT_THAT(bytes_of(out_ / "report.html"), HasSubstr("</html>"));
}

TEST_F(ReproduceProgramWhole, WhatIsToldWronglyIsSaid) {
  struct Wrong {
    std::vector<std::string> arguments;
    int code;
    std::string says;
  };
  const std::string nothing = (folder_ / "nothing").string();
  for (const Wrong& wrong :
       {Wrong{{}, 2, "required"}, Wrong{arguments({"--speed", "9"}), 2, "--speed"},
        Wrong{arguments({"--set", "reproduce.exerpts=4"}), 1, "excerpts"},
        Wrong{arguments({"--set", "reproduce.database=" + nothing}), 1, nothing},
        Wrong{{nothing, "--model", model_.string()}, 1, nothing},
        Wrong{{config_.string(), "--model", config_.string(), "--out", out_.string()}, 1, "reproduce.yaml"}}) {
    const Ended ended = earmark::testing::run("reproduce", wrong.arguments);
    EXPECT_EQ(ended.code, wrong.code) << ended.all();
    EXPECT_THAT(ended.err, HasSubstr(wrong.says));
    EXPECT_EQ(ended.out, "");
  }
}

TEST_F(ReproduceProgramWhole, GpusOfABuildWithoutCudaAreRefused) {
  if (has_cuda_backend()) {
    GTEST_SKIP() << "this build has CUDA";
  }
  const Ended ended = reproduce({"--device", "cuda"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_EQ(ended.out, "");
  EXPECT_EQ(ended.err, "reproduce: device 'cuda': this build has no CUDA backend; use --device cpu\n");
  EXPECT_FALSE(fs::exists(out_)) << "nothing is left of what was not done";
}

}  // namespace
}  // namespace earmark::experiments
