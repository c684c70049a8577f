// The program `launch` where all goes well: what ranks are told and given, what is shown of them, and what it refuses.
#include <sched.h>

#include <map>
#include <numeric>
#include <set>

#include "kernels/device_choice.h"
#include "kernels/parallel.h"
#include "tests/train/launch_program.h"
#include "train/machine_share.h"

namespace earmark::train {
namespace {

using ::testing::Each;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

class LaunchProgramWhole : public LaunchProgram {};

TEST_F(LaunchProgramWhole, RanksKnowWhoTheyAre) {
  const Ended one_node = run({"--nproc-per-node", "3", "--master-port", "12345"},
                             "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR $MASTER_PORT "
                             "$GROUP_RANK $TORCHELASTIC_RESTART_COUNT $TORCHELASTIC_MAX_RESTARTS");
  EXPECT_EQ(one_node.code, 0) << one_node.err;
  EXPECT_EQ(one_node.err, "");
  EXPECT_THAT(sorted_lines(one_node.out),
              ElementsAre("[rank 0] 0 0 3 3 127.0.0.1 12345 0 0 0",  //
                          "[rank 1] 1 1 3 3 127.0.0.1 12345 0 0 0", "[rank 2] 2 2 3 3 127.0.0.1 12345 0 0 0"));
  const Ended second_node = run({"--nnodes=3", "--node-rank=1", "--nproc_per_node=2", "--master_addr=10.0.0.1"},
                                "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_WORLD_SIZE $MASTER_ADDR $MASTER_PORT "
                                "$GROUP_RANK");
  EXPECT_EQ(second_node.code, 0) << second_node.err;
  EXPECT_THAT(sorted_lines(second_node.out),
              ElementsAre("[rank 2] 2 0 6 2 10.0.0.1 29500 1", "[rank 3] 3 1 6 2 10.0.0.1 29500 1"));
}

TEST_F(LaunchProgramWhole, OfOneNodeTheyMeetAtAFreePort) {
  const EnvironmentScope others_port("MASTER_PORT", "1");
  const Ended ended = run({"--nproc-per-node", "2"}, "echo $MASTER_PORT >$1/$RANK");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(file("0"), file("1"));
  EXPECT_GT(std::stoi(file("0")), 1024);
  EXPECT_LT(std::stoi(file("0")), 65536);
}

TEST_F(LaunchProgramWhole, WithoutOptionsItIsOneRankWithTheRestOfTheEnvironment) {
  const EnvironmentScope variable("EARMARK_TEST", "two words");
  const Ended ended = run({}, "echo $WORLD_SIZE; echo \"$EARMARK_TEST\" >&2; cat");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "[rank 0] 1\n");
  EXPECT_EQ(ended.err, "[rank 0] two words\n");
}

TEST_F(LaunchProgramWhole, LinesOfAllRanksStayWhole) {
  // Three writes for each line, alternately to both streams.
  const Ended ended = run({"--nproc-per-node", "4"},
                          "for i in $(seq 300); do printf \"of $RANK: \"; printf \"line $i \"; printf 'whole\\n'; "
                          "printf \"to err of $RANK: \" >&2; echo $i >&2; done");
  EXPECT_EQ(ended.code, 0);
  std::map<std::string, int> out_lines;
  std::istringstream out(ended.out);
  for (std::string line; std::getline(out, line);) {
    const std::string rank = line.substr(0, 8);
    const std::string number = line.substr(6, 1);
    ASSERT_EQ(line, str(rank, " of ", number, ": line ", ++out_lines[rank], " whole"));
  }
  EXPECT_EQ(out_lines,
            (std::map<std::string, int>{{"[rank 0]", 300}, {"[rank 1]", 300}, {"[rank 2]", 300}, {"[rank 3]", 300}}));
  const std::vector<std::string> err_lines = sorted_lines(ended.err);
  EXPECT_EQ(err_lines.size(), 1200U);
  EXPECT_THAT(err_lines, Each(MatchesRegex("\\[rank [0-3]\\] to err of [0-3]: [0-9]+")));
}

TEST_F(LaunchProgramWhole, ProgressBarsAndUnendedLinesDoNotMix) {
  const Ended ended = run({"--nproc-per-node", "2"}, "printf '\\r10 %%\\r100 %%\\n'; printf 'no end'");
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(sorted_lines(ended.out), ElementsAre("[rank 0] 10 %", "[rank 0] 100 %", "[rank 0] no end",
                                                   "[rank 1] 10 %", "[rank 1] 100 %", "[rank 1] no end"));
}

TEST_F(LaunchProgramWhole, LogsHoldWhatRanksWroteAndRankZeroIsShown) {
  const std::string logs = (folder_ / "a/logs").string();
  const Ended ended =
      run({"--nproc-per-node", "2", "--log-dir", logs}, "printf \"out of $RANK\\r\\nunended\"; echo err of $RANK >&2");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "[rank 0] out of 0\n[rank 0] unended\n");
  EXPECT_EQ(ended.err, "[rank 0] err of 0\n");
  for (const std::string rank : {"0", "1"}) {
    EXPECT_EQ(file("a/logs/0/rank-" + rank + ".out"), "out of " + rank + "\r\nunended");
    EXPECT_EQ(file("a/logs/0/rank-" + rank + ".err"), "err of " + rank + "\n");
  }
  std::ofstream(folder_ / "taken") << "a file";
  const Ended refused = run({"--log-dir", (folder_ / "taken").string()}, "echo started");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("taken/0: cannot be made"));
  EXPECT_EQ(refused.out, "");
}

TEST_F(LaunchProgramWhole, ArgumentsOfTheProgramAreItsOwn) {
  const std::string script = "for a; do echo \"<$a>\"; done";
  const std::vector<std::string> own{"a b", "it's \"quoted\"", "--nproc-per-node", "7", "--", "--help", "", "*",
                                     "-x=1"};
  std::vector<std::string> all{"--max-restarts", "1", "sh", "-c", script, "name"};
  all.insert(all.end(), own.begin(), own.end());
  std::string expected;
  for (const std::string& argument : own) {
    expected += "[rank 0] <" + argument + ">\n";
  }
  const Ended ended = earmark::testing::run("launch", all);
  EXPECT_EQ(ended.out, expected) << ended.err;
  all.insert(all.begin() + 2, "--");
  EXPECT_EQ(earmark::testing::run("launch", all).out, expected);
}

TEST_F(LaunchProgramWhole, ProgramsAreFoundBesideItInPathAndByTheirPaths) {
  const Ended beside = earmark::testing::run("launch", {"train", "--help"});
  EXPECT_EQ(beside.code, 0) << beside.err;
  EXPECT_THAT(beside.out, StartsWith("[rank 0] Trains an audio fingerprint encoder."));
  std::ofstream(folder_ / "script") << "#!/bin/sh\necho by its path\n";
  const std::string path = (folder_ / "script").string();
  EXPECT_EQ(earmark::testing::run("launch", {path}).err, "launch: " + path + ": not a program that may be executed\n");
  fs::permissions(path, fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_EQ(earmark::testing::run("launch", {path}).out, "[rank 0] by its path\n");
  const EnvironmentScope search("PATH", folder_.path().c_str());
  EXPECT_EQ(earmark::testing::run("launch", {"script"}).out, "[rank 0] by its path\n");
  std::ofstream(folder_ / "nothing") << "no program";
  fs::permissions(folder_ / "nothing", fs::perms::owner_exec, fs::perm_options::add);
  const Ended no_program = earmark::testing::run("launch", {"nothing"});
  EXPECT_EQ(no_program.code, 1);
  EXPECT_THAT(no_program.err, HasSubstr("nothing: cannot be executed: Exec format error"));
}

TEST_F(LaunchProgramWhole, WhatIsMissingIsSaid) {
  const Ended missing = earmark::testing::run("launch", {"--nproc-per-node", "2", "no-such-program", "argument"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, StartsWith("launch: 'no-such-program': no such program beside launch (in "));
  const Ended no_path = earmark::testing::run("launch", {"/no/such/program"});
  EXPECT_EQ(no_path.code, 1);
  EXPECT_EQ(no_path.err, "launch: /no/such/program: no such program\n");
}

TEST_F(LaunchProgramWhole, BadOptionsAreBadUsage) {
  const auto refusal = [&](const std::vector<std::string>& options) {
    const Ended ended = run(options, "echo started");
    EXPECT_EQ(ended.code, 2) << ended.all();
    EXPECT_THAT(ended.out, Not(HasSubstr("started")));
    return ended.err;
  };
  for (const std::string count : {"0", "-1", "two", "2x", "100000"}) {
    EXPECT_THAT(refusal({"--nproc-per-node=" + count}), HasSubstr("--nproc-per-node"));
  }
  EXPECT_THAT(refusal({"--nonsense"}), HasSubstr("unknown option --nonsense"));
  EXPECT_THAT(refusal({"--nnodes", "2", "--master-addr", "a"}), HasSubstr("--nnodes 2 needs --node-rank"));
  EXPECT_THAT(refusal({"--nnodes", "2", "--node-rank", "1"}), HasSubstr("--nnodes 2 needs --master-addr"));
  EXPECT_THAT(refusal({"--nnodes", "2", "--node-rank", "2", "--master-addr", "a"}),
              HasSubstr("--node-rank: expected a number below --nnodes, 2, got 2"));
  EXPECT_THAT(refusal({"--node-rank", "1"}), HasSubstr("--node-rank"));
  EXPECT_THAT(refusal({"--nnodes", "0"}), HasSubstr("--nnodes"));
  EXPECT_THAT(refusal({"--master-port", "70000"}), HasSubstr("--master-port"));
  EXPECT_THAT(refusal({"--max-restarts", "-1"}), HasSubstr("--max-restarts"));
  EXPECT_THAT(refusal({"--grace", "-1"}), HasSubstr("--grace"));
  const Ended nothing = earmark::testing::run("launch", {"--nproc-per-node", "2"});
  EXPECT_EQ(nothing.code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("a program is needed"));
  const Ended help = earmark::testing::run("launch", {"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("launch [OPTIONS] PROGRAM ARGS..."));
}

/// "0-2,5" is 0, 1, 2, 5.
std::vector<int> numbers_of(const std::string& list) {
  std::vector<int> numbers;
  std::istringstream in(list);
  for (std::string range; std::getline(in, range, ',');) {
    const std::size_t dash = range.find('-');
    const int first = std::stoi(range);
    const int last = dash == std::string::npos ? first : std::stoi(range.substr(dash + 1));
    for (int i = first; i <= last; ++i) {
      numbers.push_back(i);
    }
  }
  return numbers;
}

TEST_F(LaunchProgramWhole, ProcessorsAreDivided) {
  const Ended ended =
      run({"--nproc-per-node", "2"}, "sed -n 's/Cpus_allowed_list:[^0-9]*//p' /proc/self/status >$1/$RANK");
  EXPECT_EQ(ended.code, 0) << ended.err;
  const std::vector<int> own = processors_by_core();
  std::vector<int> first = part_of(own, 0, 2);
  std::vector<int> second = part_of(own, 1, 2);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(numbers_of(file("0")), first);
  EXPECT_EQ(numbers_of(file("1")), second);
}

TEST_F(LaunchProgramWhole, ThreadsAreDividedUnlessTheUserHasSaid) {
  const std::string script = "echo ${EARMARK_THREADS-not set} >$1/$RANK";
  {
    const EnvironmentScope by_user("EARMARK_THREADS", "5");
    EXPECT_EQ(run({"--nproc-per-node", "2"}, script).code, 0);
    EXPECT_EQ(file("0") + file("1"), "5\n5\n");
  }
  if (std::getenv("EARMARK_THREADS") == nullptr) {
    EXPECT_EQ(run({"--nproc-per-node", "2"}, script).code, 0);
    const int threads = num_threads();
    EXPECT_EQ(file("0") + file("1"), str(threads_of_part(threads, 0, 2), "\n", threads_of_part(threads, 1, 2), "\n"));
  }
  EXPECT_EQ(run({"--nproc-per-node", "2", "--threads", "3"}, script).code, 0);
  EXPECT_EQ(file("0") + file("1"), "1\n2\n");
  EXPECT_EQ(run({"--nproc-per-node", "3", "--threads", "2"}, script).code, 0);
  EXPECT_EQ(file("0") + file("1") + file("2"), "1\n1\n1\n");
}

TEST_F(LaunchProgramWhole, GpusAreDivided) {
  const std::string script = "echo ${CUDA_VISIBLE_DEVICES-all} >$1/$RANK";
  const int gpus = gpu_count();
  const Ended by_gpus = run({"--nproc-per-node", "auto"}, "echo of $WORLD_SIZE");
  EXPECT_EQ(sorted_lines(by_gpus.out).size(), static_cast<std::size_t>(std::max(1, gpus)));
  EXPECT_THAT(by_gpus.out, HasSubstr(str("[rank 0] of ", std::max(1, gpus), "\n")));
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(run({"--nproc-per-node", "2"}, script).code, 0);
  for (int rank = 0; rank < 2; ++rank) {
    std::string expected = visible == nullptr ? "all" : visible;
    if (gpus > 0) {
      const std::vector<std::string> part = part_of(gpu_names(gpus, visible), rank, 2);
      expected = std::accumulate(part.begin() + 1, part.end(), part.front(),
                                 [](const std::string& all, const std::string& one) { return all + "," + one; });
    }
    EXPECT_EQ(file(std::to_string(rank)), expected + "\n");
  }
}

}  // namespace
}  // namespace earmark::train
