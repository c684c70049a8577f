// `launch` on two hosts with addresses of their own: a run of both, one of them killed, cut off, wrong or late.
#include <csignal>
#include <memory>

#include "kernels/error.h"
#include "tests/train/launched_train.h"
#include "tests/train/two_hosts.h"

namespace earmark::train {
namespace {

using ::testing::AllOf;
using ::testing::Not;

class LaunchNodesWhole : public LaunchedTrain {
 protected:
  using Launch = std::unique_ptr<Program>;

  void SetUp() override {
    if (!hosts_.problem().empty()) {
      GTEST_SKIP() << hosts_.problem();
    }
  }
  /// Two ranks on `host`, as node `node` of two.
  Launch start(int host, int node, const std::string& out, const std::vector<std::string>& overrides = {},
               std::vector<std::string> options = {}, const std::string& master = TwoHosts::address(0)) const {
    options.insert(options.end(), {"--nproc-per-node", "2", "--nnodes", "2", "--node-rank", std::to_string(node),
                                   "--master-addr", master});
    return std::make_unique<Program>("launch", launched(options, out, overrides),
                                     Surroundings{.host_of = hosts_.process(host)});
  }
  void expect_as_on_one_host(const std::string& out, const std::vector<std::string>& overrides = {}) const {
    const Ended one = earmark::testing::run("launch", launched({"--nproc-per-node", "4"}, "straight", overrides));
    ASSERT_EQ(one.code, 0) << one.err;
    expect_same_runs("straight", out);
  }

  const TwoHosts hosts_;
};

TEST_F(LaunchNodesWhole, TwoHostsTrainWhatOneDoes) {
  const std::vector<std::string> short_run{"train.steps=12", "validation.interval=6"};
  const Launch second = start(1, 1, "both", short_run);  // whoever comes first waits
  const Launch first = start(0, 0, "both", short_run);
  EXPECT_EQ(first->wait(), 0) << first->err();
  EXPECT_EQ(second->wait(), 0) << second->err();
  EXPECT_THAT(first->out(), HasSubstr("[rank 0] done: 12 steps"));
  EXPECT_EQ(second->out() + second->err(), "") << "rank 0 speaks for all";
  expect_as_on_one_host("both", short_run);
}

TEST_F(LaunchNodesWhole, ARankKilledOnOneHostIsStartedAgainOnBoth) {
  const std::vector<std::string> restarts{"--max-restarts", "1"};
  const Launch first = start(0, 0, "killed", {}, restarts);
  const Launch second = start(1, 1, "killed", {}, restarts);
  ASSERT_TRUE(first->wait_until([&] { return logged("killed") >= 7; })) << first->err() << second->err();
  ASSERT_EQ(::kill(process_of(3, 0), SIGKILL), 0);
  EXPECT_EQ(first->wait(), 0) << first->err();
  EXPECT_EQ(second->wait(), 0) << second->err();
  EXPECT_THAT(second->err(), AllOf(HasSubstr("launch: rank 3 failed: killed by SIGKILL"), HasSubstr("restart 1 of 1")));
  EXPECT_THAT(first->err(), AllOf(HasSubstr("failed: exit code 1"), HasSubstr("restart 1 of 1")));
  expect_as_on_one_host("killed");
}

TEST_F(LaunchNodesWhole, AHostThatIsCutOffEndsBothInTime) {
  const std::vector<std::string> endless{"train.steps=1000000", "train.rank_timeout_s=4"};
  const Launch first = start(0, 0, "cut", endless);
  const Launch second = start(1, 1, "cut", endless);
  ASSERT_TRUE(first->wait_until([&] { return logged("cut") >= 3; })) << first->err() << second->err();
  hosts_.cut();
  EXPECT_EQ(first->wait(), 1);
  EXPECT_EQ(second->wait(), 1);
  EXPECT_THAT(first->err(), HasSubstr("within 4 s: it hangs, or cannot be reached"));
  EXPECT_THAT(second->err(), HasSubstr("within 4 s: it hangs, or cannot be reached"));
}

TEST_F(LaunchNodesWhole, AWrongAddressIsNamedInTime) {
  const std::vector<std::string> soon{"train.rank_timeout_s=1"};
  // Of no host; then of the other one, where nobody listens.
  const Launch nowhere = start(1, 1, "wrong", soon, {}, "10.77.0.9");
  EXPECT_EQ(nowhere->wait(), 1);
  EXPECT_THAT(nowhere->err(), HasSubstr("rank 0 of 4 did not come to 10.77.0.9:29500 within 1 s ("));
  const Launch others = start(1, 1, "wrong", soon, {}, TwoHosts::address(0));
  EXPECT_EQ(others->wait(), 1);
  EXPECT_THAT(others->err(), HasSubstr("did not come to 10.77.0.1:29500 within 1 s (Connection refused)"));
  const Launch not_its_own = start(0, 0, "wrong", {"train.rank_timeout_s=4"}, {}, TwoHosts::address(1));
  EXPECT_EQ(not_its_own->wait(), 1);
  EXPECT_THAT(not_its_own->err(), HasSubstr("rank 0 of 4 cannot be reached at 10.77.0.2:29500 (Connection refused): is "
                                            "MASTER_ADDR an address of this machine?"));
}

TEST_F(LaunchNodesWhole, AHostThatComesTooLateIsToldAndSoAreThoseWhoWaited) {
  const std::vector<std::string> soon{"train.rank_timeout_s=1"};
  const Launch alone = start(0, 0, "late", soon);
  EXPECT_EQ(alone->wait(), 1);
  EXPECT_THAT(alone->err(), HasSubstr("ranks 2 and 3 of 4 did not come to 10.77.0.1:29500 within 1 s"));
  const Launch late = start(1, 1, "late", soon);
  EXPECT_EQ(late->wait(), 1);
  EXPECT_THAT(late->err(), HasSubstr("rank 0 of 4 did not come to 10.77.0.1:29500 within 1 s"));
}

TEST_F(LaunchNodesWhole, AHostThatIsOneTooManyIsToldAndTheGroupGoesOn) {
  const Launch first = start(0, 0, "group", {"train.steps=1000000"});
  const Launch second = start(1, 1, "group", {"train.steps=1000000"});
  ASSERT_TRUE(first->wait_until([&] { return logged("group") >= 2; })) << first->err() << second->err();
  const Launch third = start(1, 1, "group", {"train.rank_timeout_s=1"});
  EXPECT_EQ(third->wait(), 1);
  EXPECT_THAT(third->err(), HasSubstr("came to 10.77.0.1:29500, but a group of 4 ranks is together there, and has a "
                                      "rank "));
  const std::int64_t then = logged("group");
  EXPECT_TRUE(first->wait_until([&] { return logged("group") > then; })) << first->err();
  first->kill(SIGTERM);
  EXPECT_EQ(first->wait(), 0) << first->err();
  EXPECT_EQ(second->wait(), 0) << second->err();
  EXPECT_THAT(second->err(), Not(HasSubstr("failed")));
}

}  // namespace
}  // namespace earmark::train
