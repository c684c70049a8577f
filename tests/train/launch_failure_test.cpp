// The program `launch` where something fails, is stopped or is killed: all ranks end, and it says why.
#include "tests/train/launch_program.h"

namespace earmark::train {
namespace {

using ::testing::Not;
using ::testing::StartsWith;

class LaunchFailureWhole : public LaunchProgram {};

TEST_F(LaunchFailureWhole, TheFirstFailureEndsAllAndIsNamed) {
  const Ended ended =
      run({"--nproc-per-node", "3"},
          "[ $RANK != 1 ] && exec sleep 1000; echo some output; echo no luck >&2; printf boom >&2; exit 3");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, StartsWith("[rank 1] no luck\n[rank 1] boom\n"
                                    "launch: rank 1 failed: exit code 3; the other 2 are told to end\n"));
  EXPECT_THAT(ended.err, HasSubstr("launch: the last lines of rank 1:\n[rank 1] no luck\n[rank 1] boom\n"));
  EXPECT_THAT(ended.err, Not(HasSubstr("rank 0 failed")));
  EXPECT_THAT(ended.err, Not(HasSubstr("rank 2 failed")));
}

TEST_F(LaunchFailureWhole, WhatIsShownIsTheEndOfItsErrorsOrOutput) {
  const Ended many = run({}, "for i in $(seq 1000); do echo line $i >&2; done; exit 1");
  EXPECT_THAT(many.err, HasSubstr("last lines of rank 0:\n[rank 0] line 981\n"));
  EXPECT_TRUE(many.err.ends_with("[rank 0] line 1000\n"));
  const Ended to_out = run({}, "echo the reason; exit 1");
  EXPECT_THAT(to_out.err, HasSubstr("the last lines of rank 0, standard output:\n[rank 0] the reason\n"));
  EXPECT_THAT(run({}, "exit 1").err, HasSubstr("rank 0 had written nothing"));
  const std::string logs = (folder_ / "logs").string();
  const Ended logged = run({"--log-dir", logs, "--nproc-per-node", "2"}, "[ $RANK = 1 ] && echo oh >&2; exit $RANK");
  EXPECT_EQ(logged.code, 1);
  EXPECT_THAT(logged.err,
              HasSubstr("the last lines of rank 1 (all of them: " + logs + "/0/rank-1.err):\n[rank 1] oh\n"));
}

TEST_F(LaunchFailureWhole, BadUsageStaysBadUsageAndIsNotTriedAgain) {
  const Ended ended = run({"--nproc-per-node", "2", "--max-restarts", "3"},
                          "[ $RANK = 0 ] && exec sleep 1000; echo run >>$1/runs; exit 2");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, Not(HasSubstr("restart")));
  EXPECT_EQ(file("runs"), "run\n");
}

TEST_F(LaunchFailureWhole, SignalsThatKillARankAreNamed) {
  const Ended crashed = run({"--nproc-per-node", "2"}, "[ $RANK = 0 ] && exec sleep 1000; kill -SEGV $$");
  EXPECT_EQ(crashed.code, 1);
  EXPECT_THAT(crashed.err, HasSubstr("rank 1 failed: killed by SIGSEGV; the other 1 is told to end\n"));
  const Ended killed = run({}, "kill -KILL $$");
  EXPECT_EQ(killed.code, 1);
  EXPECT_THAT(killed.err, HasSubstr("rank 0 failed: killed by SIGKILL, as the system does where memory runs out\n"));
}

TEST_F(LaunchFailureWhole, RanksThatDoNotEndAreKilledAfterTheGrace) {
  const Ended ended = run({"--nproc-per-node", "2", "--grace", "0.2"},
                          str("if [ $RANK = 0 ]; then trap '' TERM; echo >$1/ready; ", kWait,
                              "; fi; until [ -e $1/ready ]; do sleep 0.01; done; exit 1"));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("rank 1 failed: exit code 1"));
  EXPECT_THAT(ended.err, HasSubstr("launch: rank 0 has not ended within 0.2 s of SIGTERM: killed\n"));
}

TEST_F(LaunchFailureWhole, SignalsToItReachAllRanks) {
  for (const std::string signal : {"TERM", "INT", "HUP"}) {
    const std::string ready = signal + "-ready-";
    Program program("launch",
                    arguments({"--nproc-per-node", "2"}, str("trap 'echo saved after ", signal, "; exit 0' ", signal,
                                                             "; echo $$ >$1/", ready, "$RANK; ", kWait)));
    ASSERT_TRUE(wait_for_files(program, {ready + "0", ready + "1"})) << program.err();
    program.kill(signal == "TERM" ? SIGTERM : signal == "INT" ? SIGINT : SIGHUP);
    EXPECT_EQ(program.wait(), 0) << program.err();
    EXPECT_THAT(sorted_lines(program.out()),
                ElementsAre("[rank 0] saved after " + signal, "[rank 1] saved after " + signal));
    EXPECT_THAT(program.err(), HasSubstr("launch: SIG" + signal + ": the ranks are told to end\n"));
    EXPECT_THAT(program.err(), Not(HasSubstr("failed")));
  }
}

TEST_F(LaunchFailureWhole, ItEndsBySignalsAsItsRanksDoAndDoesNotStartAgain) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string ready = str(signal, "-ready-");
    Program program("launch", arguments({"--nproc-per-node", "2", "--max-restarts", "5"},
                                        str("echo >$1/", ready, "$RANK; exec sleep 1000")));
    ASSERT_TRUE(wait_for_files(program, {ready + "0", ready + "1"})) << program.err();
    program.kill(signal);
    EXPECT_EQ(program.wait(), -signal) << program.err();
    EXPECT_THAT(program.err(), Not(HasSubstr("restart")));
    EXPECT_THAT(program.err(), Not(HasSubstr("failed")));
  }
}

TEST_F(LaunchFailureWhole, WhatGoesWrongAfterASignalIsSaid) {
  Program program("launch", arguments({"--nproc-per-node", "2"},
                                      str("trap 'exit $((RANK * 7))' TERM; echo >$1/ready-$RANK; ", kWait)));
  ASSERT_TRUE(wait_for_files(program, {"ready-0", "ready-1"})) << program.err();
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM);
  EXPECT_THAT(program.err(), HasSubstr("launch: rank 1 ended with exit code 7\n"));
  EXPECT_THAT(program.err(), Not(HasSubstr("rank 0 ended")));
}

TEST_F(LaunchFailureWhole, StubbornRanksAreKilledAfterASignalToo) {
  Program program("launch", arguments({"--grace", "0.1"}, str("trap '' TERM; echo >$1/ready; ", kWait)));
  ASSERT_TRUE(wait_for_files(program, {"ready"})) << program.err();
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM);
  EXPECT_THAT(program.err(), HasSubstr("rank 0 has not ended within 0.1 s of SIGTERM: killed"));
}

TEST_F(LaunchFailureWhole, OtherSignalsArePassedOn) {
  Program program("launch", arguments({}, str("trap 'echo >$1/told' USR1; echo >$1/ready; ", kWait)));
  ASSERT_TRUE(wait_for_files(program, {"ready"})) << program.err();
  program.kill(SIGUSR1);
  EXPECT_TRUE(wait_for_files(program, {"told"}));
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM) << program.err();
}

TEST_F(LaunchFailureWhole, PausedItPausesItsRanks) {
  Program program("launch", arguments({}, "echo $PPID >$1/launcher; echo $$ >$1/rank; exec sleep 1000"));
  ASSERT_TRUE(wait_for_files(program, {"launcher", "rank"})) << program.err();
  program.kill(SIGTSTP);
  for (const std::string process : {"launcher", "rank"}) {
    EXPECT_TRUE(program.wait_until([&] { return state_of(file(process)) == 'T'; })) << process;
  }
  program.kill(SIGCONT);
  EXPECT_TRUE(program.wait_until([&] { return state_of(file("rank")) != 'T'; }));
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM) << program.err();
}

TEST_F(LaunchFailureWhole, HangupsThatWereToBeIgnoredAre) {
  std::signal(SIGHUP, SIG_IGN);
  Program program("launch", arguments({}, str("trap 'echo >$1/told' USR1; echo >$1/ready; ", kWait)));
  std::signal(SIGHUP, SIG_DFL);
  ASSERT_TRUE(wait_for_files(program, {"ready"})) << program.err();
  program.kill(SIGHUP);
  program.kill(SIGUSR1);
  EXPECT_TRUE(wait_for_files(program, {"told"})) << program.err();
  program.kill(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM);
  EXPECT_THAT(program.err(), Not(HasSubstr("SIGHUP")));
}

TEST_F(LaunchFailureWhole, KilledItTakesRanksAndTheirChildrenWithIt) {
  Program program("launch", arguments({"--nproc-per-node", "2"},
                                      "sleep 1000 & echo $! >$1/child-$RANK; echo $$ >$1/rank-$RANK; wait"));
  const std::vector<std::string> names{"rank-0", "rank-1", "child-0", "child-1"};
  ASSERT_TRUE(wait_for_files(program, names)) << program.err();
  for (const std::string& name : names) {
    EXPECT_FALSE(is_gone(file(name))) << name;
  }
  program.kill(SIGKILL);
  EXPECT_EQ(program.wait(), -SIGKILL);
  for (const std::string& name : names) {
    wait_until([&] { return is_gone(file(name)); });
  }
}

TEST_F(LaunchFailureWhole, NothingThatRanksHaveStartedOutlivesThem) {
  const Ended ended = run({"--nproc-per-node", "2"}, "sleep 1000 & echo $! >$1/child-$RANK");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(is_gone(file("child-0")));
  EXPECT_TRUE(is_gone(file("child-1")));
}

TEST_F(LaunchFailureWhole, AfterFailuresTheGroupIsStartedAgain) {
  const std::string logs = (folder_ / "logs").string();
  const std::string script =
      "echo run $TORCHELASTIC_RESTART_COUNT of $TORCHELASTIC_MAX_RESTARTS; "
      "if [ $RANK = 0 ]; then echo >$1/ran-$TORCHELASTIC_RESTART_COUNT; exit 0; fi; "
      "until [ -e $1/ran-$TORCHELASTIC_RESTART_COUNT ]; do sleep 0.01; done; [ $TORCHELASTIC_RESTART_COUNT = 2 ]";
  const Ended ended = run({"--nproc-per-node", "2", "--max-restarts", "2", "--log-dir", logs}, script);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "[rank 0] run 0 of 2\n[rank 0] run 1 of 2\n[rank 0] run 2 of 2\n");
  EXPECT_THAT(ended.err, HasSubstr("rank 1 failed: exit code 1"));
  EXPECT_THAT(ended.err, HasSubstr("launch: restart 1 of 2\n"));
  EXPECT_THAT(ended.err, HasSubstr("launch: restart 2 of 2\n"));
  for (const std::string restart : {"0", "1", "2"}) {
    EXPECT_EQ(file("logs/" + restart + "/rank-1.out"), "run " + restart + " of 2\n");
  }
  const Ended too_few = run({"--nproc-per-node", "2", "--max-restarts", "1"}, script);
  EXPECT_EQ(too_few.code, 1);
  EXPECT_THAT(too_few.err, HasSubstr("restart 1 of 1"));
  EXPECT_THAT(too_few.err, Not(HasSubstr("restart 2")));
}

TEST_F(LaunchFailureWhole, OutputThatCannotBeWrittenEndsTheRanksInOrder) {
  const Ended ended =
      earmark::testing::run("launch", arguments({}, str("trap 'echo >$1/saved; exit 0' TERM; echo a line; ", kWait)),
                            {.output = "/dev/full"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("launch: standard output cannot be written: No space left on device\n"));
  EXPECT_EQ(file("saved"), "\n");
}

}  // namespace
}  // namespace earmark::train
