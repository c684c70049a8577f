// Training on a GPU: the CPU's losses, checkpoints that go on anywhere, and no memory left behind.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cuda/memory.h"
#include "nn/model.h"
#include "tests/cuda/gpu.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"

namespace earmark::train {
namespace {

using earmark::testing::kGpu;

class GpuTraining : public earmark::testing::GpuTest {
 protected:
  static TrainOptions options(std::int64_t steps) {
    TrainOptions options = tiny_options();
    options.steps = steps;
    options.optimizer.schedule = Schedule::constant;  // so that a shorter run is the beginning of a longer one
    options.validation.queries = 8;
    return options;
  }
  /// Trains to the end of `options`, from where `name` was left; returns the losses of all its steps.
  std::vector<double> train(const std::string& name, const TrainOptions& options, Device device) {
    return train_in(folder_ / name, options, device);
  }
  static void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t step = 0; step < want.size(); ++step) {
      EXPECT_NEAR(got[step], want[step], 1e-4) << "step " << step + 1;
    }
  }

  earmark::testing::TemporaryFolder folder_;
};

TEST_F(GpuTraining, LossesAreTheCpusAndCheckpointsGoOnAnywhere) {
  train("first", options(1), kGpu);  // what is made once and kept
  const auto before = kernels::cuda::memory_use();
  const std::vector<double> want = train("cpu", options(3), {});
  const std::vector<double> got = train("gpu", options(3), kGpu);
  expect_near(got, want);
  EXPECT_EQ(kernels::cuda::memory_use().blocks, before.blocks) << "memory was not given back";
  EXPECT_EQ(kernels::cuda::memory_use().bytes, before.bytes);
  // The model at the end can be loaded and says the same wherever it was trained.
  const nn::Model cpu = nn::load_model(folder_ / "cpu" / "model.safetensors");
  const nn::Model gpu = nn::load_model(folder_ / "gpu" / "model.safetensors");
  for (std::size_t i = 0; i < cpu.encoder->parameters().size(); ++i) {
    const auto expected = cpu.encoder->parameters()[i].variable.value().values<float>();
    const auto values = gpu.encoder->parameters()[i].variable.value().values<float>();
    for (std::size_t j = 0; j < expected.size(); ++j) {
      // Adam's first steps are of the size of the learning rate, whatever small difference decides their direction.
      ASSERT_NEAR(values[j], expected[j], 2e-2) << cpu.encoder->parameters()[i].name << ", " << j;
    }
  }
  const std::vector<double> whole = train("cpu", options(5), {});
  expect_near(train("gpu", options(5), {}), whole);
}

TEST_F(GpuTraining, ReductionGroupsAreTheCpus) {
  TrainOptions grouped = options(1);
  grouped.reduction_groups = 2;
  const std::string problem = earmark::testing::error_of([&] { train("grouped", grouped, kGpu); });
  EXPECT_NE(problem.find("train.reduction_groups is 2: the same bits for any number of processes are the CPU's alone"),
            std::string::npos)
      << problem;
}

TEST_F(GpuTraining, RecordedStepsAreTheSameBitsThroughAWholeRun) {
  TrainOptions recorded = options(6);  // validates and saves in between
  const std::vector<double> want = train("queued", recorded, kGpu);
  recorded.cuda_graph = true;
  EXPECT_EQ(train("recorded", recorded, kGpu), want);
  const auto bytes_of = [&](const std::string& name) {
    std::ifstream in(folder_ / name / "model.safetensors", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_FALSE(bytes_of("queued").empty());
  EXPECT_EQ(bytes_of("recorded"), bytes_of("queued"));
}

/// Both devices compute in float and round to bf16 what they store, so a loss differs where a last bit of float decides
/// a rounding: rarely in the first step, whose weights are the same; then Adam's steps, of the size of the learning
/// rate whatever the gradient's, let weights differ by a few of them. The effect of one rounding more or less, 2^-8 of
/// an activation among thousands, is far below the percent of a loss that is allowed here.
TEST_F(GpuTraining, InBf16LossesAreTheCpus) {
  TrainOptions in_bf16 = options(3);
  in_bf16.precision = Precision::bf16;
  const std::vector<double> want = train("cpu", in_bf16, {});
  const std::vector<double> got = train("gpu", in_bf16, kGpu);
  const std::vector<double> fp32 = train("fp32", options(3), kGpu);
  ASSERT_EQ(got.size(), want.size());
  EXPECT_NEAR(got[0], want[0], 1e-3 * want[0]);
  EXPECT_NE(got[0], fp32[0]) << "nothing was rounded";
  for (std::size_t step = 1; step < want.size(); ++step) {
    EXPECT_NEAR(got[step], want[step], 1e-2 * want[step]) << "step " << step + 1;
  }
}

TEST_F(GpuTraining, Tf32TrainsAndIsSwitchedOffAgain) {
  TrainOptions in_tf32 = options(2);
  in_tf32.precision = Precision::tf32;
  const std::vector<double> got = train("tf32", in_tf32, kGpu);
  const std::vector<double> want = train("fp32", options(2), {});
  ASSERT_EQ(got.size(), want.size());
  EXPECT_NEAR(got[0], want[0], 1e-3 * want[0]);  // 10 bits of mantissa in the operands of convolutions
  EXPECT_FALSE(kernels::tf32_allowed());
}

TEST_F(GpuTraining, ACheckpointOfTheCpuGoesOnOnTheGpu) {
  train("moved", options(2), {});
  const std::vector<double> moved = train("moved", options(4), kGpu);
  expect_near(moved, train("straight", options(4), {}));
}

}  // namespace
}  // namespace earmark::train
