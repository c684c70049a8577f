// Training on a GPU: the CPU's losses, checkpoints that go on anywhere, and no memory left behind.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/cuda/memory.h"
#include "nn/model.h"
#include "tests/cuda/gpu.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/run.h"

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
    const std::filesystem::path path = folder_ / name;
    const std::atomic<bool> never{false};
    RunFolder run = std::filesystem::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
    run_training(options, tiny_data(options), run, never, device, false);
    std::ifstream log(run.log());
    std::vector<double> losses;
    std::string line;
    std::getline(log, line);
    while (std::getline(log, line)) {
      losses.push_back(std::stod(line.substr(line.find(',') + 1)));
    }
    return losses;
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

TEST_F(GpuTraining, ACheckpointOfTheCpuGoesOnOnTheGpu) {
  train("moved", options(2), {});
  const std::vector<double> moved = train("moved", options(4), kGpu);
  expect_near(moved, train("straight", options(4), {}));
}

}  // namespace
}  // namespace earmark::train
