// Runs of NAFP's network with LAMB: nothing of a run may hang on which encoder and which optimiser it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TrainOptions nafp_options() {
  TrainOptions options = with_nafps_network(tiny_options());
  options.optimizer.kind = OptimizerKind::lamb;
  options.optimizer.weight_decay = 0.01;
  options.optimizer.clip_norm = 5;
  return options;
}

class NafpRun : public ::testing::Test {
 protected:
  void train(const std::string& name, bool stop = false) const {
    const RunFolder run =
        fs::exists(folder_ / name) ? RunFolder::open(folder_ / name) : RunFolder::create(folder_ / name, "train:\n");
    const std::atomic<bool> stop_flag{stop};
    run_training(options_, data_, run, stop_flag, Device{}, false);
  }
  std::string file(const std::string& run, const std::string& name) const { return written(folder_ / run / name); }
  void expect_same(const std::string& a, const std::string& b) const {
    for (const char* name :
         {"model.safetensors", "best.safetensors", "checkpoints/step-00000006/optimizer.safetensors"}) {
      EXPECT_EQ(file(a, name), file(b, name)) << name;
    }
    EXPECT_EQ(timeless(folder_ / a / "log.csv"), timeless(folder_ / b / "log.csv"));
  }

  testing::TemporaryFolder folder_;
  TrainOptions options_ = nafp_options();
  TrainingData data_ = tiny_data(options_);
};

TEST_F(NafpRun, StoppedAndResumedEqualsStraightBitForBit) {
  train("straight");
  for (int start = 1; start <= 5; ++start) {
    train("parts", true);
  }
  train("parts");
  expect_same("straight", "parts");
  EXPECT_EQ(nn::load_model(folder_ / "parts" / "model.safetensors").options, options_.encoder);
}

TEST_F(NafpRun, ThreadsAndWorkersDoNotChangeTheResult) {
  const int threads = num_threads();
  set_num_threads(1);
  options_.data.workers = 0;
  train("one");
  set_num_threads(2);
  options_.data.workers = 2;
  train("two");
  set_num_threads(threads);
  expect_same("one", "two");
}

TEST_F(NafpRun, TheLossFallsWhenOneBatchIsRepeated) {
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  const data::Batch batch = data_.training->batch(0);
  const double first = trainer.step(batch, 5e-3).loss;
  StepReport last;
  for (int step = 0; step < 40; ++step) {
    last = trainer.step(batch, 5e-3);
  }
  EXPECT_LT(last.loss, first / 2);
  EXPECT_EQ(trainer.adam().steps_done(), 41);
}

TEST_F(NafpRun, ABatchThatIsNoNumberUpdatesNothing) {
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  data::Batch batch = data_.training->batch(0);
  batch.clean.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(trainer.step(batch, 1e-3).finite());
  const auto fresh = nn::make_encoder(options_.encoder);
  for (std::size_t i = 0; i < fresh->parameters().size(); ++i) {
    const Tensor& before = fresh->parameters()[i].variable.value();
    const Tensor& after = trainer.model().encoder->parameters()[i].variable.value();
    EXPECT_TRUE(std::equal(before.raw(), before.raw() + before.bytes(), after.raw()));
  }
}

TEST_F(NafpRun, EachGroupOfTheHeadIsALayerOfItsOwn) {
  // The first step of LAMB is as long as its layer times the learning rate.
  options_.optimizer.weight_decay = 0;
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  const auto fresh = nn::make_encoder(options_.encoder);
  trainer.step(data_.training->batch(0), 0.01);
  for (std::size_t i = 0; i < fresh->parameters().size(); ++i) {
    const nn::NamedParameter& p = fresh->parameters()[i];
    if (p.name == "head.hidden.weight") {
      EXPECT_EQ(p.layers, options_.encoder.embedding);
      const Tensor& after = trainer.model().encoder->parameters()[i].variable.value();
      for (std::int64_t group = 0; group < p.layers; ++group) {
        const Tensor before = p.variable.value().slice(group, group + 1);
        double length = 0;
        double moved = 0;
        for (std::int64_t k = 0; k < before.numel(); ++k) {
          const double value = before.data<float>()[k];
          length += value * value;
          moved += std::pow(value - static_cast<double>(after.slice(group, group + 1).data<float>()[k]), 2);
        }
        EXPECT_NEAR(std::sqrt(moved / length), 0.01, 1e-4) << "group " << group;
      }
    } else if (!p.name.starts_with("head.")) {
      EXPECT_EQ(p.layers, 1) << p.name;
    }
  }
}

TEST_F(NafpRun, TheStateOfAnotherOptimiserIsRefused) {
  const auto encoder = nn::make_encoder(options_.encoder);
  OptimizerOptions adam = options_.optimizer;
  adam.kind = OptimizerKind::adam;
  Adam other(*encoder, adam);
  try {
    Adam(*encoder, options_.optimizer).load_state(other.state(), "optimizer.safetensors");
    FAIL() << "it was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("optimizer.safetensors"), HasSubstr("earmark-lamb")));
  }
  other.load_state(other.state(), "itself");
}

}  // namespace
}  // namespace earmark::train
