// A whitening that is estimated where the encoder is: on a GPU as on the CPU.
#include "train/whitening.h"

#include <gtest/gtest.h>

#include "nn/model.h"
#include "tests/compare_tensors.h"
#include "tests/cuda/gpu.h"
#include "tests/train/example_run.h"

namespace earmark::train {
namespace {

using testing::GpuTest;
using testing::kGpu;

class GpuWhitening : public GpuTest {};

TEST_F(GpuWhitening, IsEstimatedAsOnTheCpu) {
  TrainOptions options = tiny_options();
  options.encoder.whitening = true;
  const TrainingData data = tiny_data(options);
  const auto whitening_on = [&](Device device) {
    const nn::Model model = nn::make_model(options.features, options.encoder, 3);
    model.encoder->to(device);
    whiten(model, *data.training, {.pairs = 12}, *make_communicator({}, {}));
    EXPECT_EQ(model.encoder->whitening().device(), device);
    return model.encoder->whitening().to(Device{});
  };
  EXPECT_LT(testing::largest_difference(whitening_on(kGpu), whitening_on({})), 1e-2);
}

}  // namespace
}  // namespace earmark::train
