// Searches, fingerprints and trainings on a GPU that fails at any moment: one sentence, and nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cudasim/control.h"
#include "data/composer.h"
#include "kernels/device_failure.h"
#include "nn/fingerprinter.h"
#include "search/matcher.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/simulated/failures.h"
#include "tests/search/planted.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::testing {
namespace {

using ::testing::HasSubstr;

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
  void end() { trainer_.reset(); }

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

TEST_F(FailingGpu, TrainingsBeginCleanlyOrNotAtAll) {
  SmallTraining training;
  for (const Failure& failure : {no_host_memory(), no_stream_or_event()}) {
    expect_clean_failures(
        failure,
        [&] {
          training.begin_anew();
          training.step();
          training.end();
        },
        [&](const std::string&) { training.end(); });
  }
}

/// The host learns of it at the next wait: whichever kernel it was is among those that the error names, and from then
/// on nothing works.
TEST_F(FailingGpu, KernelsThatFaultEndTheTrainingByName) {
  SmallTraining training;
  const std::uint64_t first = cudasim::calls().launches;
  training.step();
  const std::uint64_t count = cudasim::calls().launches - first;
  EXPECT_GT(count, 100U);
  const std::uint64_t every = cudasim::check_build() ? 5 : 1;  // checking changes nothing of what the host does
  for (std::uint64_t n = 1; n <= count; n += every) {
    training.begin_anew();
    cudasim::fail_launch(n, cudasim::LaunchFailure::faulting);
    const std::string error = error_of([&] { EXPECT_THROW(training.step(), DeviceFailure) << "launch " << n; });
    EXPECT_EQ(error, "no error");  // EXPECT_THROW has caught it
    const std::string again = error_of([&] { training.step(); });
    EXPECT_THAT(again, HasSubstr("an illegal memory access was encountered")) << "launch " << n;
    const std::string kernel = cudasim::failed_kernel();
    EXPECT_THAT(again, HasSubstr(kernel.substr(0, kernel.find('<')))) << "launch " << n;
    cudasim::reset_device();
  }
}

}  // namespace
}  // namespace earmark::testing
