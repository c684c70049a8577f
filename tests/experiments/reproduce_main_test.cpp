// `reproduce` as a program: what is printed and left behind, killed and started again, and what it is told wrongly.
#include <csignal>

#include "kernels/device_choice.h"
#include "tests/experiments/reproduce_program.h"

namespace earmark::experiments {
namespace {

class ReproduceProgramWhole : public ReproduceProgram {};

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

TEST_F(ReproduceProgramWhole, GoesOnWithAnotherModelWhereItWasKilled) {
  FeatureOptions features;
  features.hop_frames = 5;
  nn::EncoderOptions encoder;
  encoder.width = 2;
  nn::save_model(folder_ / "other.safetensors", nn::make_model(features, encoder, 9));
  const std::vector<std::string> more = {"--compare", "other=" + (folder_ / "other.safetensors").string(), "--set",
                                         "reproduce.lsh=false"};
  earmark::testing::Program killed("reproduce", arguments(more));
  // The first cell of the other model is the second of clean queries.
  ASSERT_TRUE(killed.wait_until([&] { return cells_called("clean.exact") == 2; })) << killed.err();
  killed.kill(SIGKILL);
  ASSERT_EQ(killed.wait(), -SIGKILL);
  ASSERT_FALSE(fs::exists(out_ / "results.json"));
  const Ended ended = reproduce(more);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, AllOf(HasSubstr("search: 0 cells searched, 14 were there"),
                               HasSubstr("other: 0 tracks added, 4 were there, 0 skipped; "),
                               ::testing::Not(HasSubstr("; 14 cells searched, 0 were there"))));
  EXPECT_THAT(ended.out, HasSubstr("| other "));
  EXPECT_EQ(cells_called("clean.exact"), 2);
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
        Wrong{arguments({"--compare", "nafp"}), 2, "expected NAME=MODEL, got nafp"},
        Wrong{arguments({"--compare", "exact, vote=" + model_.string()}), 1, "two rows called 'exact, vote'"},
        Wrong{arguments({"--compare", "nafp=" + nothing}), 1, nothing},
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
