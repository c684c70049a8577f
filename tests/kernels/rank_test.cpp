// What a process learns of its group from torchrun's, Open MPI's and Slurm's variables.
#include "kernels/rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "tests/program.h"
#include "tests/test_support.h"

namespace earmark {

bool operator==(const Rank& a, const Rank& b) {
  return a.rank == b.rank && a.size == b.size && a.local_rank == b.local_rank && a.local_size == b.local_size &&
         a.master_addr == b.master_addr && a.master_port == b.master_port;
}

void PrintTo(const Rank& r, std::ostream* out) {
  *out << r.rank << " of " << r.size << ", " << r.local_rank << " of " << r.local_size << ", " << r.master_addr << ":"
       << r.master_port;
}

namespace {

using earmark::testing::EnvironmentScope;
using earmark::testing::error_of;
using ::testing::HasSubstr;
using Settings = std::map<std::string, std::string>;

Rank read(const Settings& settings) {
  return rank_from([&](const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

Settings with(Settings settings, const Settings& changes) {
  for (const auto& [name, value] : changes) {
    settings[name] = value;
  }
  return settings;
}

Settings without(Settings settings, const std::string& name) {
  settings.erase(name);
  return settings;
}

std::string refusal(const Settings& settings) {
  return error_of([&] { read(settings); });
}

const Settings kTorch{{"RANK", "5"},
                      {"WORLD_SIZE", "8"},
                      {"LOCAL_RANK", "1"},
                      {"LOCAL_WORLD_SIZE", "4"},
                      {"MASTER_ADDR", "10.0.0.7"},
                      {"MASTER_PORT", "29501"}};
const Settings kMpi{{"OMPI_COMM_WORLD_RANK", "3"},
                    {"OMPI_COMM_WORLD_SIZE", "4"},
                    {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                    {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                    {"MASTER_ADDR", "head"}};
const Settings kSlurm{{"SLURM_PROCID", "4"},
                      {"SLURM_NTASKS", "5"},
                      {"SLURM_LOCALID", "0"},
                      {"SLURM_NODEID", "2"},
                      {"SLURM_TASKS_PER_NODE", "2(x2),1"},
                      {"SLURM_NODELIST", "gpu[007-009]"}};

TEST(RankOfVariables, WithoutAnyItIsOneProcess) {
  EXPECT_EQ(read({}), (Rank{0, 1, 0, 1, "127.0.0.1", 29500}));
  EXPECT_EQ(read({{"MASTER_ADDR", "elsewhere"}, {"MASTER_PORT", "none"}}), Rank{});
}

TEST(RankOfVariables, Torchruns) {
  EXPECT_EQ(read(kTorch), (Rank{5, 8, 1, 4, "10.0.0.7", 29501}));
  const Settings one_node{{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}};
  EXPECT_EQ(read(one_node), (Rank{1, 2, 1, 2, "127.0.0.1", 29500}));
  EXPECT_EQ(read(with(with(kMpi, kSlurm), kTorch)), read(kTorch));  // a launcher that Slurm or mpirun started
  const Settings listens{{"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  EXPECT_EQ(read(with(kTorch, listens)).master_port, 29502);
  EXPECT_EQ(read(with(with(kTorch, {{"MASTER_PORT", "65535"}}), listens)).master_port, 65534);
}

TEST(RankOfVariables, OpenMpis) {
  EXPECT_EQ(read(kMpi), (Rank{3, 4, 1, 2, "head", 29500}));
  const Rank own_port = read(with(kMpi, {{"PMIX_NAMESPACE", "2533621761"}}));
  EXPECT_GE(own_port.master_port, 20000);
  EXPECT_LT(own_port.master_port, 30000);
  EXPECT_EQ(read(with(kMpi, {{"PMIX_NAMESPACE", "2533621761"}, {"MASTER_PORT", "77"}})).master_port, 77);
  EXPECT_EQ(read(with(kSlurm, kMpi)), read(kMpi));  // mpirun in a job of Slurm's
}

TEST(RankOfVariables, Slurms) {
  EXPECT_EQ(read(kSlurm), (Rank{4, 5, 0, 1, "gpu007", 29500}));
  EXPECT_EQ(read(with(kSlurm, {{"SLURM_PROCID", "3"}, {"SLURM_NODEID", "1"}, {"SLURM_LOCALID", "1"}})),
            (Rank{3, 5, 1, 2, "gpu007", 29500}));
  EXPECT_EQ(read(with(kSlurm, {{"MASTER_ADDR", "10.1.1.1"}, {"MASTER_PORT", "4000"}})),
            (Rank{4, 5, 0, 1, "10.1.1.1", 4000}));
  EXPECT_EQ(read(with(without(kSlurm, "SLURM_TASKS_PER_NODE"),
                      {{"SLURM_NTASKS_PER_NODE", "2"}, {"SLURM_NTASKS", "6"}, {"SLURM_LOCALID", "1"}})),
            (Rank{4, 6, 1, 2, "gpu007", 29500}));
  const Settings by_hand{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_LOCALID", "1"}};
  EXPECT_EQ(read(by_hand), (Rank{1, 2, 1, 2, "127.0.0.1", 29500}));
}

TEST(RankOfVariables, SlurmsStepComesBeforeItsJob) {
  const Settings step{{"SLURM_STEP_NUM_TASKS", "2"},
                      {"SLURM_STEP_TASKS_PER_NODE", "1(x2)"},
                      {"SLURM_STEP_NODELIST", "gpu[008,009]"},
                      {"SLURM_PROCID", "1"},
                      {"SLURM_NODEID", "1"}};
  EXPECT_EQ(read(with(kSlurm, step)), (Rank{1, 2, 0, 1, "gpu008", 29500}));
}

TEST(RankOfVariables, JobsOfSlurmHavePortsOfTheirOwn) {
  const int first = read(with(kSlurm, {{"SLURM_JOB_ID", "1234"}})).master_port;
  EXPECT_EQ(read(with(kSlurm, {{"SLURM_JOB_ID", "1234"}, {"SLURM_PROCID", "3"}, {"SLURM_NODEID", "1"}})).master_port,
            first);
  EXPECT_NE(read(with(kSlurm, {{"SLURM_JOB_ID", "1235"}})).master_port, first);
  EXPECT_NE(read(with(kSlurm, {{"SLURM_JOB_ID", "1234"}, {"SLURM_STEP_ID", "1"}})).master_port, first);
}

TEST(RankOfVariables, FirstHostsOfSlurmsLists) {
  const auto host = [](const std::string& list) { return read(with(kSlurm, {{"SLURM_NODELIST", list}})).master_addr; };
  EXPECT_EQ(host("a,b,c"), "a");
  EXPECT_EQ(host("node[3,5-9],other"), "node3");
  EXPECT_EQ(host("row[01-02]node[10-20]-ib"), "row01node10-ib");
  EXPECT_EQ(host("single.example.org"), "single.example.org");
}

TEST(RankOfVariables, WhatSlurmDidNotStartAsOneOfManyIsOneProcess) {
  const Settings shell{{"SLURM_JOB_ID", "9"}, {"SLURM_NTASKS", "4"}, {"SLURM_NODELIST", "a,b"}};
  EXPECT_EQ(read(shell), Rank{});  // in the shell of salloc
  const Settings first{{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_NODEID", "0"}};
  EXPECT_EQ(read(with(with(shell, first), {{"ENVIRONMENT", "BATCH"}})), Rank{});
  EXPECT_EQ(read(with(with(shell, first), {{"SLURM_STEP_ID", "4294967290"}})), Rank{});
  EXPECT_EQ(read(with(with(shell, first), {{"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}})).size, 1);
  EXPECT_EQ(read(with(first, {{"SLURM_NTASKS", "1"}})).size, 1);
  EXPECT_EQ(read(with(kSlurm, {{"ENVIRONMENT", "BATCH"}, {"SLURM_STEP_ID", "0"}})).size, 5);  // srun in a batch script
}

TEST(RankOfVariables, HalfOfThemIsRefused) {
  for (const std::string name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}) {
    EXPECT_THAT(refusal(without(kTorch, name)), HasSubstr(name + ": expected "));
    EXPECT_THAT(refusal(without(kTorch, name)), HasSubstr("not set"));
  }
  EXPECT_THAT(refusal(without(kMpi, "OMPI_COMM_WORLD_LOCAL_SIZE")), HasSubstr("OMPI_COMM_WORLD_LOCAL_SIZE: expected"));
  EXPECT_THAT(refusal(without(kSlurm, "SLURM_NTASKS")), HasSubstr("SLURM_NTASKS: expected the number of ranks"));
  EXPECT_THAT(refusal(without(kSlurm, "SLURM_LOCALID")), HasSubstr("SLURM_LOCALID: expected"));
  EXPECT_THAT(refusal(without(kSlurm, "SLURM_NODEID")), HasSubstr("SLURM_NODEID: expected"));
  EXPECT_THAT(refusal(without(kSlurm, "SLURM_TASKS_PER_NODE")),
              HasSubstr("SLURM_TASKS_PER_NODE: expected the ranks of each node of SLURM_NODELIST ('gpu[007-009]')"));
  EXPECT_THAT(refusal(without(kTorch, "MASTER_ADDR")), HasSubstr("MASTER_ADDR: expected the address of rank 0's node"));
  EXPECT_THAT(refusal(without(kMpi, "MASTER_ADDR")), HasSubstr("MASTER_ADDR"));
}

TEST(RankOfVariables, NonsenseIsRefused) {
  EXPECT_EQ(refusal(with(kTorch, {{"RANK", "8"}})), "RANK: expected a number from 0 to 7 (WORLD_SIZE is 8), got '8'");
  EXPECT_EQ(refusal(with(kTorch, {{"RANK", "x"}})), "RANK: expected a number from 0 to 7 (WORLD_SIZE is 8), got 'x'");
  for (const std::string value : {"", "-1", "3 ", "1e0", "99999999999999"}) {
    EXPECT_THAT(refusal(with(kTorch, {{"RANK", value}})), HasSubstr("got '" + value + "'"));
  }
  EXPECT_EQ(refusal(with(kTorch, {{"WORLD_SIZE", "0"}})),
            "WORLD_SIZE: expected the number of ranks, 1 to 1048576, got '0'");
  EXPECT_THAT(refusal(with(kTorch, {{"LOCAL_RANK", "4"}})), HasSubstr("LOCAL_RANK: expected a number from 0 to 3"));
  EXPECT_THAT(refusal(with(kTorch, {{"LOCAL_WORLD_SIZE", "9"}})), HasSubstr("LOCAL_WORLD_SIZE: expected"));
  EXPECT_THAT(refusal(with(kTorch, {{"LOCAL_WORLD_SIZE", "8"}})), HasSubstr("LOCAL_RANK: expected 5 as the rank"));
  EXPECT_EQ(refusal(with(kTorch, {{"MASTER_PORT", "65536"}})), "MASTER_PORT: expected a port, 1 to 65535, got '65536'");
  for (const std::string value : {"2(x", "2(x2", "2,", "(x2)", "2x2", "0", "2(x2),1,", "2 ,1"}) {
    EXPECT_EQ(refusal(with(kSlurm, {{"SLURM_TASKS_PER_NODE", value}})),
              "SLURM_TASKS_PER_NODE: expected the ranks of each node as in '2(x3),1', got '" + value + "'");
  }
  EXPECT_THAT(refusal(with(kSlurm, {{"SLURM_TASKS_PER_NODE", "9"}})), HasSubstr("at most the 5 ranks"));
}

TEST(RankOfVariables, TheEnvironmentsAreRead) {
  const EnvironmentScope rank("RANK", "1");
  const EnvironmentScope size("WORLD_SIZE", "3");
  const EnvironmentScope local_rank("LOCAL_RANK", "1");
  const EnvironmentScope local_size("LOCAL_WORLD_SIZE", "3");
  const EnvironmentScope address("MASTER_ADDR", "localhost");
  const EnvironmentScope port("MASTER_PORT", "1234");
  EXPECT_EQ(rank_from_environment(), (Rank{1, 3, 1, 3, "localhost", 1234}));
}

}  // namespace
}  // namespace earmark
