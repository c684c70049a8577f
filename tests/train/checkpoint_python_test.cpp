// What a checkpoint holds, read by Python without any of our code, against what was trained.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "tests/program.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::bytes_of;
using earmark::testing::TemporaryFolder;

/// A tensor as the reader prints it. Nine digits tell every float from its neighbours.
std::string printed(const std::string& name, const Tensor& tensor) {
  std::string text = name + " F32 [";
  for (const std::int64_t extent : tensor.shape().dims()) {
    text += (text.back() == '[' ? "" : ", ") + std::to_string(extent);
  }
  text += "]";
  for (const float value : tensor.values<float>()) {
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), " %.9g", static_cast<double>(value));
    text += number.data();
  }
  return text + "\n";
}

/// What Python makes of a file.
std::string read_by_python(const std::filesystem::path& file, const TemporaryFolder& folder) {
  const std::string script = std::string(EARMARK_SOURCE_DIR) + "/tests/train/read_checkpoint.py";
  const std::string command =
      "python3 '" + script + "' '" + file.string() + "' > '" + (folder / "printed").string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
  return bytes_of(folder / "printed");
}

TEST(CheckpointInPython, HoldsTheNamesShapesAndBytesThatWereTrained) {
  if (std::system("python3 -c '' 2> /dev/null") != 0) {
    GTEST_SKIP() << "no python3 here";
  }
  const TemporaryFolder folder;
  const TrainOptions options = tiny_options();
  const TrainingData data = tiny_data(options);
  Trainer trainer(nn::make_model(options.features, options.encoder), options.optimizer, options.temperature);
  for (int step = 0; step < 2; ++step) {
    trainer.step(data.training->batch(step), 1e-3);
  }
  const RunFolder run = RunFolder::create(folder / "run", "");
  run.save_checkpoint(trainer.model(), trainer.adam().state(), {.step = 2}, 1);

  std::string model = "encoder " + nn::to_json(options.encoder) + "\nfeatures " + nn::to_json(options.features) +
                      "\nformat earmark-model\nversion 1\n";
  for (const nn::NamedParameter& parameter : trainer.model().encoder->parameters()) {
    model += printed(parameter.name, parameter.variable.value());
  }
  for (const nn::NamedBuffer& buffer : trainer.model().encoder->buffers()) {
    model += printed(buffer.name, buffer.tensor);
  }
  EXPECT_EQ(read_by_python(folder / "run/checkpoints/step-00000002/model.safetensors", folder), model);

  std::string moments = "format earmark-adam\nsteps_done 2\n";
  for (const auto& [name, tensor] : trainer.adam().state().tensors) {
    moments += printed(name, tensor);
  }
  EXPECT_EQ(read_by_python(folder / "run/checkpoints/step-00000002/optimizer.safetensors", folder), moments);
}

}  // namespace
}  // namespace earmark::train
