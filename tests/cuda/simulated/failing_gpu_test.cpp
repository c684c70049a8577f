// What the programs say where the GPU is not what it should be, and what is left where its memory ends at any moment.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cudasim/control.h"
#include "data/composer.h"
#include "nn/fingerprinter.h"
#include "search/matcher.h"
#include "tests/program.h"
#include "tests/search/composed.h"
#include "tests/search/planted.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::testing {
namespace {

using ::testing::ContainsRegex;
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

/// A way in which a GPU lets a program down, once in every place where it can.
struct Failure {
  std::function<void(std::uint64_t)> arrange;  // for the n-th call from now on, for none: 0
  std::function<std::uint64_t()> calls;        // since the program began
  std::string sentence;                        // a regular expression
};

/// The second try, after unused memory was given back, fails as well.
Failure no_memory() {
  return {[](std::uint64_t n) { cudasim::fail_allocations(n, n == 0 ? 0 : 2); },
          [] { return cudasim::calls().allocations; },
          "out of memory on cuda:0: a tensor needs [0-9]+ bytes, [0-9]+ of [0-9]+ are free"};
}

Failure refused_launch() {
  return {[](std::uint64_t n) { cudasim::fail_launch(n, cudasim::LaunchFailure::refused); },
          [] { return cudasim::calls().launches; },
          "earmark::kernels::cuda::.*_kernel.* blocks of [0-9]+ threads with [0-9]+ bytes of shared memory: too many "
          "resources requested for launch"};
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Lets every call of `work` that can fail do so, one after the other: each time it must end with the failure's
/// sentence and leave nothing behind; then `afterwards` hears the sentence. `work` succeeds three times: twice before
/// that, once after it.
void expect_clean_failures(
    const Failure& failure, const std::function<void()>& work,
    const std::function<void(const std::string&)>& afterwards = [](const std::string&) {}) {
  work();  // what is made once and kept
  const cudasim::LiveMemory before = cudasim::live_memory();
  const std::uint64_t first = failure.calls();
  work();
  const std::uint64_t count = failure.calls() - first;
  EXPECT_GT(count, 2U);
  for (std::uint64_t n = 1; n <= count; ++n) {
    failure.arrange(n);
    const std::string error = error_of(work);
    failure.arrange(0);
    EXPECT_THAT(error, ContainsRegex(failure.sentence)) << "call " << n << " of " << count;
    afterwards(error);
    const cudasim::LiveMemory after = cudasim::live_memory();
    EXPECT_EQ(after.allocations, before.allocations) << "call " << n << " of " << count << ": " << error;
    EXPECT_EQ(after.bytes, before.bytes) << "call " << n << " of " << count << ": " << error;
  }
  work();
}

class FailingGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cudasim::config().order != cudasim::Order::forward) {
      GTEST_SKIP() << "what the host does depends on no order of threads";
    }
  }
};

using Answers = std::vector<search::Match>;

void expect_same(const Answers& got, const Answers& want) {
  ASSERT_FALSE(want.empty());
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].track_id, want[i].track_id);
    EXPECT_EQ(got[i].start_s, want[i].start_s);
    EXPECT_EQ(got[i].score, want[i].score);
  }
}

TEST_F(FailingGpu, SearchesFailCleanlyWhereverTheyCan) {
  constexpr std::int64_t kDimension = 16;
  const Tensor rows = search::random_fingerprints(60, kDimension, 1);
  const Tensor queries = search::noisy(rows.slice(10, 20), 0.5, 2);
  const search::Database here = search::planted_database(rows, 15, {1, 3});
  for (const search::Method method : {search::Method::exact, search::Method::lsh}) {
    for (const search::Ranking ranking : {search::Ranking::scored, search::Ranking::vote}) {
      search::MatcherOptions options;
      options.method = method;
      options.ranking = ranking;
      options.lsh = {3, 4, 1, 10, 3, 0, 0};
      Answers want;
      for (const Failure& failure : {no_memory(), refused_launch()}) {
        expect_clean_failures(failure, [&] {  // from an index in a file to an answer; not all of it fits in
          const search::Database there = here.on(kGpu, 30 * kDimension * sizeof(float));
          want = search::Matcher(there, options).match(queries);
        });
        const search::Database there = here.on(kGpu, 30 * kDimension * sizeof(float));
        const search::Matcher matcher(there, options);
        Answers got;
        expect_clean_failures(failure, [&] { got = matcher.match(queries); });
        expect_same(got, want);
      }
    }
  }
}

TEST_F(FailingGpu, FingerprintsFailCleanlyWhereverTheyCan) {
  const train::TrainOptions options = train::tiny_options();
  const std::vector<float> pcm = data::compose(1, 1);
  const nn::Fingerprinter fingerprinter(nn::make_model(options.features, options.encoder, 1), kGpu);
  const Tensor want = fingerprinter.fingerprints(pcm);
  Tensor got;
  for (const Failure& failure : {no_memory(), refused_launch()}) {
    expect_clean_failures(failure, [&] { got = fingerprinter.fingerprints(pcm); });
    EXPECT_TRUE(std::ranges::equal(got.values<float>(), want.values<float>()));
  }
}

/// Steps of a training so small that each of its calls can fail in turn.
class SmallTraining {
 public:
  train::StepReport step() { return last_ = trainer_->step(batch_, 1e-3); }
  train::StepReport last() const { return last_; }
  void begin_anew() { trainer_ = fresh(); }

 private:
  static train::TrainOptions options() {
    train::TrainOptions options = train::tiny_options();
    options.pairs.pairs = 2;
    return options;
  }
  std::unique_ptr<train::Trainer> fresh() const {
    nn::Model model = nn::make_model(options_.features, options_.encoder, 1);
    model.encoder->to(kGpu);
    return std::make_unique<train::Trainer>(model, options_.optimizer, 0.1);
  }

  const train::TrainOptions options_ = options();
  const data::Batch batch_ = train::tiny_data(options_).training->batch(0);
  std::unique_ptr<train::Trainer> trainer_ = fresh();
  train::StepReport last_;
};

/// After failures wherever they can be, the same training makes the steps that it would have made without.
void expect_untouched(const SmallTraining& failing) {
  SmallTraining untouched;
  for (int step = 0; step < 3; ++step) {
    EXPECT_TRUE(untouched.step().finite());
  }
  EXPECT_EQ(failing.last().loss, untouched.last().loss);
  EXPECT_EQ(failing.last().grad_norm, untouched.last().grad_norm);
}

TEST_F(FailingGpu, TrainingStepsFailCleanlyWhereverMemoryEnds) {
  SmallTraining training;
  expect_clean_failures(no_memory(), [&] { training.step(); });
  expect_untouched(training);
}

TEST_F(FailingGpu, TrainingStepsFailCleanlyWhateverKernelIsRefused) {
  SmallTraining training;
  int cut_off = 0;
  expect_clean_failures(
      refused_launch(), [&] { training.step(); },
      [&](const std::string& error) {
        if (error.find("adam_kernel") != std::string::npos) {  // some parameters may have been updated, others not
          EXPECT_THAT(error_of([&] { training.step(); }), HasSubstr("in the middle of its last update"));
          training.begin_anew();
          training.step();
          training.step();
          ++cut_off;
        }
      });
  EXPECT_GT(cut_off, 0);
  expect_untouched(training);
}

/// The host learns of it at the next wait, whichever kernel it was: a few of them are enough.
TEST_F(FailingGpu, KernelsThatFaultEndTheTraining) {
  for (const std::uint64_t n : {1, 40, 120}) {
    SmallTraining training;
    training.step();
    const std::uint64_t first = cudasim::calls().launches;
    training.step();
    ASSERT_GT(cudasim::calls().launches - first, n);
    cudasim::fail_launch(n, cudasim::LaunchFailure::faulting);
    for (int step = 0; step < 2; ++step) {
      EXPECT_THAT(error_of([&] { training.step(); }), HasSubstr("an illegal memory access was encountered"));
    }
    cudasim::reset_device();
  }
}

}  // namespace
}  // namespace earmark::testing
