// What the programs say where the GPU is not what it should be: one clear sentence, and exit code 1.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "cudasim/control.h"
#include "tests/cuda/commands.h"
#include "tests/cuda/simulated/failures.h"
#include "tests/program.h"
#include "tests/search/composed.h"

namespace earmark::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

/// A collection with an index of it, on which each program can be run any number of times.
class FailingGpuWhole : public FailingGpu {
 protected:
  void SetUp() override {
    FailingGpu::SetUp();
    if (!IsSkipped()) {
      composed = std::make_unique<search::Composed>(1, 2);
      composed->add({composed->music()});
    }
  }

  Ended run_on(const std::string& program, std::vector<std::string> arguments,
               const std::optional<std::string>& device) const {
    forget_results(*composed);
    if (device) {
      arguments.insert(arguments.end(), {"--device", *device});
    }
    return run(program, arguments);
  }
  /// The lines that say why `program` failed.
  static std::vector<std::string> problems(const std::string& program, const std::string& err) {
    std::vector<std::string> out;
    std::istringstream lines(err);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(program + ": ")) {
        out.push_back(line);
      }
    }
    return out;
  }
  /// That every program fails with exit code 1, no results, and one line that says what `problem` matches.
  void expect_failures(const std::string& device, const ::testing::Matcher<const std::string&>& problem) const {
    for (const auto& [program, arguments] : commands(*composed)) {
      const Ended ended = run_on(program, arguments, device);
      EXPECT_EQ(ended.code, 1) << program << ": " << ended.err;
      EXPECT_EQ(ended.out, "") << program;
      const std::vector<std::string> said = problems(program, ended.err);
      ASSERT_EQ(said.size(), 1U) << program << ": " << ended.err;
      EXPECT_THAT(said.front(), problem) << program;
      EXPECT_THAT(ended.err, Not(HasSubstr("terminate"))) << program;
    }
  }
  /// With `variable` set, --device cuda says `problem` and nothing else; auto, which is what is taken where nothing is
  /// asked for, takes the CPU and says why.
  void expect_refused(const char* variable, const char* value, const std::string& problem) const {
    const EnvironmentScope scope(variable, value);
    expect_failures("cuda", HasSubstr(": device 'cuda': " + problem + "; use --device cpu"));
    expect_cpu(std::nullopt, problem);
  }
  void expect_cpu(const std::optional<std::string>& device, const std::string& problem) const {
    for (const auto& [program, arguments] : commands(*composed)) {
      const Ended ended = run_on(program, arguments, device);
      EXPECT_EQ(ended.code, 0) << program << ": " << ended.err;
      EXPECT_THAT(ended.err, HasSubstr("device cpu: " + problem + "\n")) << program;
    }
  }

  std::unique_ptr<search::Composed> composed;
};

TEST_F(FailingGpuWhole, DriversWithoutAGpuAreNamed) {
  expect_refused("CUDASIM_DRIVER", "without_device", "the NVIDIA driver finds no GPU");
}

TEST_F(FailingGpuWhole, DriversThatAreMissingOrOldAreNamed) {
  const std::string none = str("no NVIDIA driver for CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10,
                               " or newer is installed");
  expect_refused("CUDASIM_DRIVER", "missing", none);
  expect_refused("CUDASIM_DRIVER", "old", none);
}

TEST_F(FailingGpuWhole, HiddenDevicesAreNamed) {
  const EnvironmentScope one_gpu("CUDASIM_DEVICES", "1");
  for (const char* visible : {"7", "", "1,0"}) {
    const EnvironmentScope scope("CUDA_VISIBLE_DEVICES", visible);
    const Ended ended = run_on("search", commands(*composed)[1].second, "cuda");
    EXPECT_EQ(ended.err,
              str("search: device 'cuda': the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES "
                  "allows: '",
                  visible, "'; use --device cpu\n"));
  }
  expect_refused("CUDA_VISIBLE_DEVICES", "7",
                 "the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES allows: '7'");
}

TEST_F(FailingGpuWhole, TooLittleMemoryIsOneSentence) {
  const EnvironmentScope scope("CUDASIM_MEMORY", "16384");
  for (const char* device : {"cuda", "auto"}) {  // there is enough to begin with
    expect_failures(device, AnyOf(HasSubstr("out of memory on cuda:0: a tensor needs "),
                                  HasSubstr("none of the files could be indexed")));
  }
}

TEST_F(FailingGpuWhole, NoMemoryAtAllIsNoGpu) {
  const EnvironmentScope scope("CUDASIM_MEMORY", "0");
  const std::string problem = "out of memory on cuda:0: a tensor needs 4 bytes, 0 of 0 are free";
  expect_failures("cuda", HasSubstr(": device 'cuda' does not work: " + problem + "; use --device cpu"));
  expect_cpu("auto", problem);
}

/// What the error names, of kernels that may have failed.
std::size_t suspects_in(const std::string& problem) {
  const std::size_t begin = problem.find("since the last wait: ");
  const std::size_t end = std::min(problem.find(" (CUDA_LAUNCH_BLOCKING"), problem.find("; ", begin));
  const std::string list = begin == std::string::npos ? "" : problem.substr(begin, end - begin);
  std::size_t kernels = 0;
  for (std::size_t at = list.find("_kernel"); at != std::string::npos; at = list.find("_kernel", at + 1)) {
    ++kernels;
  }
  return kernels;
}

TEST_F(FailingGpuWhole, KernelsThatFaultEndEveryProgram) {
  const EnvironmentScope faulting("CUDASIM_FAULTING_LAUNCH", "12");
  expect_failures("cuda", HasSubstr("an illegal memory access was encountered (cudaErrorIllegalAddress); it failed in "
                                    "one of the kernels queued since the last wait: "));
}

TEST_F(FailingGpuWhole, TheDriverFindsOutWhichKernelFaulted) {
  const EnvironmentScope faulting("CUDASIM_FAULTING_LAUNCH", "16");
  const auto problem = [&] {
    const Ended ended = run_on("index", commands(*composed)[0].second, "cuda");
    const std::vector<std::string> said = problems("index", ended.err);
    return said.empty() ? ended.err : said.front();
  };
  EXPECT_GT(suspects_in(problem()), 1U) << problem();
  const EnvironmentScope blocking("CUDA_LAUNCH_BLOCKING", "1");
  EXPECT_LE(suspects_in(problem()), 1U) << problem();
  EXPECT_THAT(problem(), AllOf(HasSubstr("_kernel"), Not(HasSubstr("CUDA_LAUNCH_BLOCKING"))));
}

}  // namespace
}  // namespace earmark::testing
