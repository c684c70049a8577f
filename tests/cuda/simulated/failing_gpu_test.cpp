// What the programs say where the GPU is not what it should be, and what is left where its memory ends at any moment.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "cudasim/control.h"
#include "search/matcher.h"
#include "tests/program.h"
#include "tests/search/composed.h"
#include "tests/search/planted.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Device kGpu{Backend::cuda, 0};

/// A variable of the environment that programs started meanwhile see.
class EnvironmentScope {
 public:
  EnvironmentScope(const char* name, const char* value) : name_(name) {
    const char* before = std::getenv(name);
    if (before != nullptr) {
      before_ = before;
    }
    ::setenv(name, value, 1);
  }
  ~EnvironmentScope() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  EnvironmentScope(const EnvironmentScope&) = delete;
  EnvironmentScope& operator=(const EnvironmentScope&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

class FailingGpuWhole : public ::testing::Test {
 protected:
  Ended build(const std::string& device) const {
    return run("index", {"build", composed_.index().string(), "--model", composed_.model().string(),
                         composed_.music().string(), "--device", device});
  }
  /// With `variable` set, --device cuda says `problem` and nothing else; auto takes the CPU and says why.
  void expect_refused(const char* variable, const char* value, const std::string& problem) const {
    const EnvironmentScope scope(variable, value);
    const Ended refused = build("cuda");
    EXPECT_EQ(refused.code, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(refused.err, "index: device 'cuda': " + problem + "; use --device cpu\n");
    const Ended by_itself = build("auto");
    EXPECT_EQ(by_itself.code, 0) << by_itself.err;
    EXPECT_THAT(by_itself.err, StartsWith("device cpu: " + problem + "\n"));
  }

  const search::Composed composed_{1, 2};
};

TEST_F(FailingGpuWhole, DriversThatDoNotServeAreNamed) {
  expect_refused("CUDASIM_DRIVER", "without_device", "the NVIDIA driver finds no GPU");
  const std::string none = str("no NVIDIA driver for CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10,
                               " or newer is installed");
  expect_refused("CUDASIM_DRIVER", "missing", none);
  expect_refused("CUDASIM_DRIVER", "old", none);
}

TEST_F(FailingGpuWhole, HiddenDevicesAreNamed) {
  const EnvironmentScope hidden("CUDA_VISIBLE_DEVICES", "7");
  expect_refused("CUDASIM_DRIVER", "without_device",
                 "the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES allows: '7'");
}

TEST_F(FailingGpuWhole, TooLittleMemoryIsOneSentence) {
  const EnvironmentScope scope("CUDASIM_MEMORY", "65536");
  const Ended ended = build("cuda");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("out of memory on cuda:0: a tensor needs "));
  EXPECT_EQ(ended.err.find("terminate"), std::string::npos);
}

/// Lets the n-th allocation of `work` fail, for n of a growing row up to the last that it makes: each time it must end
/// with an Error, or with success where it does not need that memory, and leave nothing behind.
template <class Work>
void expect_clean_failures(const Work& work) {
  work();  // what is made once and kept
  const cudasim::LiveMemory before = cudasim::live_memory();
  bool failed = true;
  int failures = 0;
  for (std::uint64_t n = 1; failed; n += 1 + n / 4) {
    cudasim::fail_allocations(n, 2);  // the second try, after unused memory was given back, fails as well
    failed = false;
    try {
      work();
    } catch (const Error& error) {
      failed = true;
      ++failures;
      EXPECT_THAT(error.what(), HasSubstr("out of memory on cuda:0")) << "allocation " << n;
    }
    const cudasim::LiveMemory after = cudasim::live_memory();
    EXPECT_EQ(after.allocations, before.allocations) << "allocation " << n;
    EXPECT_EQ(after.bytes, before.bytes) << "allocation " << n;
  }
  cudasim::fail_allocations(0, 0);
  EXPECT_GT(failures, 5);
}

TEST(FailingGpu, SearchesFailCleanlyWhereverMemoryEnds) {
  const Tensor rows = search::random_fingerprints(120, 32, 1);
  const Tensor queries = search::noisy(rows.slice(20, 40), 0.5, 2);
  const search::Database here = search::planted_database(rows, 30, {1, 3});
  for (const search::Method method : {search::Method::exact, search::Method::lsh}) {
    search::MatcherOptions options;
    options.method = method;
    options.lsh = {4, 6, 1, 30, 3, 0, 0};
    expect_clean_failures([&] {
      const search::Database there = here.on(kGpu, 60 * 32 * sizeof(float));
      const search::Matcher matcher(there, options);
      EXPECT_FALSE(matcher.match(queries).empty());
    });
  }
}

TEST(FailingGpu, TrainingStepsFailCleanlyWhereverMemoryEnds) {
  const train::TrainOptions options = train::tiny_options();
  const train::TrainingData data = train::tiny_data(options);
  const data::Batch batch = data.training->batch(0);
  expect_clean_failures([&] {
    nn::Model model = nn::make_model(options.features, options.encoder, 1);
    model.encoder->to(kGpu);
    train::Trainer trainer(model, options.optimizer, 0.1);
    EXPECT_TRUE(trainer.step(batch, 1e-3).finite());
  });
}

}  // namespace
}  // namespace earmark::testing
