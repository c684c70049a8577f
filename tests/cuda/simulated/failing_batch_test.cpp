// Batches, validation and the libraries' handles and plans on a GPU that fails at any moment.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "cudasim/control.h"
#include "data/loader.h"
#include "kernels/conv.h"
#include "kernels/cuda/fft.h"
#include "kernels/matmul.h"
#include "nn/fingerprinter.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/simulated/failures.h"
#include "tests/train/example_run.h"
#include "train/validation.h"

namespace earmark::testing {
namespace {

using ::testing::ContainsRegex;

class FailingBatches : public FailingGpu {
 protected:
  static train::TrainOptions options() {
    train::TrainOptions options = train::tiny_options();
    options.pairs.pairs = 2;
    options.validation.queries = 2;
    return options;
  }
  const train::TrainingData data_ = train::tiny_data(options());
};

/// On a thread of its own: with it goes what threads keep, such as handles, plans and page-locked memory.
void in_new_thread(const std::function<void()>& work) { std::async(std::launch::async, work).get(); }

bool same(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.to(Device{}).values<float>(), b.to(Device{}).values<float>());
}

TEST_F(FailingBatches, BatchesFailCleanlyWhereverTheyCan) {
  const data::Batch want = data_.training->batch(0, kGpu);
  data::Batch got;
  const auto make = [&] { got = data_.training->batch(0, kGpu); };
  for (const Failure& failure : {no_memory(), refused_launch()}) {
    expect_clean_failures(failure, make);
    EXPECT_TRUE(same(got.clean, want.clean) && same(got.distorted, want.distorted));
  }
  for (const Failure& failure : {no_host_memory(), failing_library()}) {
    expect_clean_failures(failure, [&] { in_new_thread(make); });
    EXPECT_TRUE(same(got.clean, want.clean) && same(got.distorted, want.distorted));
  }
}

/// The worker's failure comes out of next(), and again when the step is asked for again; the threads end.
TEST_F(FailingBatches, LoadersHandOnWhatFailedInTheirWorkers) {
  const data::Batch want = data_.training->batch(3, kGpu);
  const cudasim::LiveMemory before = cudasim::live_memory();
  for (const Failure& failure :
       {no_memory(), no_host_memory(), refused_launch(), failing_library(), no_stream_or_event()}) {
    int failures = 0;
    bool failed = true;
    for (std::uint64_t n = 1; failed; n += 1 + n / 3) {
      failure.arrange(n);  // first: the worker begins at once
      data::Loader loader(data_.training, 3, 1, 1, kGpu);
      data::Batch batch;
      const std::string error = error_of([&] { batch = loader.next(); });
      failed = error != "no error";
      if (failed) {
        ++failures;
        EXPECT_THAT(error, ContainsRegex(failure.sentence)) << "call " << n;
        EXPECT_EQ(error_of([&] { loader.next(); }), error);
      } else {
        EXPECT_TRUE(same(batch.clean, want.clean) && same(batch.distorted, want.distorted)) << failure.sentence;
      }
      failure.arrange(0);
    }
    EXPECT_GT(failures, 0) << failure.sentence;
    expect_no_more(before, failure.sentence);
  }
}

TEST_F(FailingBatches, ValidationFailsCleanlyWhereverMemoryEnds) {
  const nn::Model model = nn::make_model(options().features, options().encoder, 1);
  model.encoder->to(kGpu);
  model.encoder->set_training(false);
  train::HitRate rate;
  expect_clean_failures(
      no_memory(), [&] { rate = train::validate(model, *data_.validation); }, [](const std::string&) {}, 61);
  EXPECT_EQ(rate.queries, 2);
}

/// A first convolution and a first product of a thread make handles and plans; each of those can fail, and be made the
/// next time.
TEST_F(FailingGpu, HandlesAndPlansFailCleanlyAndAreMadeTheNextTime) {
  const Tensor x = Tensor::full({1, 3, 4, 2}, 1, DType::f32, kGpu);
  const Tensor weight = Tensor::full({2, 1, 1, 2}, 0.5, DType::f32, kGpu);
  const Tensor bias = Tensor::full({2}, 1, DType::f32, kGpu);
  const Tensor out({1, 3, 4, 2}, DType::f32, kGpu);
  const Tensor square = Tensor::full({2, 2}, 2, DType::f32, kGpu);
  const Tensor product({2, 2}, DType::f32, kGpu);
  std::int64_t size = 64;
  expect_clean_failures(failing_library(), [&] {
    out.fill(0);
    product.fill(0);
    size += 2;  // plans of transforms are kept for all threads: a new one each time
    in_new_thread([&] {
      kernels::conv_forward(
          {.x = x, .weight = weight, .bias = bias, .options = {}, .add = {}, .relu = true, .out = out});
      kernels::matmul({.a = square, .b = square, .out = product});
      const Tensor time = Tensor::full({1, size}, 1, DType::f32, kGpu);
      const Tensor bins({1, size / 2 + 1, 2}, DType::f32, kGpu);
      kernels::cuda::real_fft(time, bins);
      EXPECT_EQ(bins.slice(0, 1).reshape({size + 2}).slice(0, 1).item(), static_cast<double>(size));
    });
  });
  EXPECT_EQ(out.reshape({24}).slice(23, 24).item(), 2);
  EXPECT_EQ(product.reshape({4}).slice(3, 4).item(), 8);
}

/// Threads make their own, once for each shape, type and pass.
TEST_F(FailingGpu, PlansOfConvolutionsAreMadeOnceForEachShape) {
  const Tensor weight = Tensor::full({2, 1, 1, 2}, 0.5, DType::f32, kGpu);
  const auto plans_for = [&](std::int64_t samples) {
    const std::uint64_t before = cudasim::calls().plans;
    const Tensor x = Tensor::full({samples, 3, 4, 2}, 1, DType::f32, kGpu);
    const Tensor out({samples, 3, 4, 2}, DType::f32, kGpu);
    kernels::conv_forward({.x = x, .weight = weight, .bias = {}, .options = {}, .add = {}, .relu = false, .out = out});
    return cudasim::calls().plans - before;
  };
  in_new_thread([&] {
    EXPECT_EQ(plans_for(5), 1U);
    EXPECT_EQ(plans_for(6), 1U);
    EXPECT_EQ(plans_for(5), 0U);
    EXPECT_EQ(plans_for(6), 0U);
    in_new_thread([&] { EXPECT_EQ(plans_for(5), 1U); });
  });
}

}  // namespace
}  // namespace earmark::testing
