// Steps of several GPUs together: afterwards all have the same model and the same moments, to the last bit. Ranks are
// threads here, and none frees page-locked memory, which waits for every GPU of the process, before all are done.
#include <gmock/gmock.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/memory.h"
#include "tests/cuda/ranks.h"
#include "tests/train/example_run.h"
#include "tests/train/training_outcome.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::problems_of_gpus;
using ::testing::Each;

struct RankOutcome {
  TrainingOutcome training;
  NamedTensors moments;
};

class GpuTrainingOfRanks : public earmark::testing::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!IsSkipped() && kernels::cuda::device_count() < 2) {
      GTEST_SKIP() << "there is one GPU";
    }
    options_.pairs.pairs = 4;
    options_.features.mel_bands = options_.encoder.bands = 8;
    options_.features.frames = options_.encoder.frames = 8;
    options_.optimizer.clip_norm = 0.5;
    options_.optimizer.weight_decay = 0.01;
    options_.encoder.attention_init = nn::AttentionInit::normal;
    options_.encoder.attention_deviation = 0.1;
    if (!IsSkipped()) {
      const TrainingData data = tiny_data(options_);
      for (int step = 0; step < 2; ++step) {  // the first tells the order of gradients, the second uses it
        batches_.push_back(data.training->batch(step));
      }
    }
  }
  /// A rank's part of a step on each batch. It begins with a model of its own, which becomes rank 0's.
  RankOutcome train_as_one_of(const std::shared_ptr<Communicator>& ranks, Device device,
                              const TrainOptions& options) const {
    const auto seed = static_cast<std::uint64_t>(ranks->rank() + 1);
    const nn::Model model = nn::make_model(options.features, options.encoder, seed);
    model.encoder->to(device);
    Trainer trainer(model, options.optimizer, 0.1,
                    {.cuda_graph = options.cuda_graph, .micro_batch = options.micro_batch});
    trainer.join(ranks, options.sync_batch_norm, options.shard_optimizer);
    const std::int64_t share = options.pairs.pairs / ranks->size();
    std::vector<StepReport> reports;
    for (const data::Batch& batch : batches_) {
      reports.push_back(trainer.step(batch.part(ranks->rank() * share, (ranks->rank() + 1) * share), 1e-2));
    }
    RankOutcome outcome{outcome_of(trainer, reports), {}};
    for (const auto& [name, moment] : trainer.adam().state().tensors) {
      outcome.moments[name] = moment.to(Device{}).clone();
    }
    ranks->barrier();
    return outcome;
  }
  /// What all ranks have after each of `runs`, one after the other: by run and rank.
  std::vector<std::vector<RankOutcome>> train(int size, const std::vector<TrainOptions>& runs) const {
    std::vector<std::vector<RankOutcome>> outcomes(runs.size(),
                                                   std::vector<RankOutcome>(static_cast<std::size_t>(size)));
    const auto work = [&](const std::shared_ptr<Communicator>& ranks, Device device) {
      for (std::size_t run = 0; run < runs.size(); ++run) {
        outcomes[run][static_cast<std::size_t>(ranks->rank())] = train_as_one_of(ranks, device, runs[run]);
        ranks->barrier();
      }
    };
    EXPECT_THAT(problems_of_gpus(size, work), Each(""));
    return outcomes;
  }
  /// Whole moments and divided ones, which rank 0 gathers, with two ranks and with four where there are so many GPUs.
  void expect_same_bits_of_all_ranks(const TrainOptions& options) const {
    TrainOptions divides = options;
    divides.shard_optimizer = true;
    for (const int size : {2, 4}) {
      if (size > kernels::cuda::device_count()) {
        continue;
      }
      SCOPED_TRACE(size);
      const auto outcomes = train(size, {options, divides});
      const std::vector<RankOutcome>& whole = outcomes[0];
      const std::vector<RankOutcome>& divided = outcomes[1];
      const RankOutcome& first = whole.front();
      EXPECT_FALSE(first.training.parameters.empty());
      EXPECT_EQ(first.moments.size(), 2 * first.training.parameters.size());
      EXPECT_NE(first.training.reports.front().loss, first.training.reports.back().loss);
      for (std::size_t rank = 0; rank < whole.size(); ++rank) {
        SCOPED_TRACE(rank);
        expect_same_bits(whole[rank].training, first.training);
        expect_same_bits(whole[rank].moments, first.moments, "moment");
        expect_same_bits(divided[rank].training, first.training);
      }
      expect_same_bits(divided.front().moments, first.moments, "gathered moment");
    }
  }

  TrainOptions options_ = tiny_options();
  std::vector<data::Batch> batches_;
};

TEST_F(GpuTrainingOfRanks, LeavesAllWithTheSameBitsOfTheAttentionEncoder) { expect_same_bits_of_all_ranks(options_); }

TEST_F(GpuTrainingOfRanks, SoItDoesOfNafpsNetworkWithLamb) {
  TrainOptions options = with_nafps_network(options_);
  options.optimizer.kind = OptimizerKind::lamb;
  expect_same_bits_of_all_ranks(options);
}

/// With what the ranks exchange in them, of divided moments as well.
TEST_F(GpuTrainingOfRanks, RecordedStepsAreTheSameBits) {
  options_.micro_batch = 1;
  options_.shard_optimizer = true;
  batches_.push_back(batches_.front());  // the second records, the third launches it once more
  for (const TrainOptions& options : {options_, with_nafps_network(options_)}) {
    TrainOptions recorded = options;
    recorded.cuda_graph = true;
    const auto outcomes = train(2, {options, recorded});
    for (std::size_t rank = 0; rank < outcomes[0].size(); ++rank) {
      expect_same_bits(outcomes[1][rank].training, outcomes[0][rank].training);
      expect_same_bits(outcomes[1][rank].moments, outcomes[0][rank].moments, "moment");
    }
  }
}

/// What the tests above could see, and where it is meant.
TEST_F(GpuTrainingOfRanks, WithoutCommonStatisticsTheRunningOnesAloneDiffer) {
  options_.sync_batch_norm = false;
  const std::vector<RankOutcome> outcomes = train(2, {options_}).front();
  expect_same_bits(outcomes[1].training.parameters, outcomes[0].training.parameters, "parameter");
  expect_same_bits(outcomes[1].moments, outcomes[0].moments, "moment");
  EXPECT_FALSE(outcomes[0].training.buffers.empty());
  for (const auto& [name, buffer] : outcomes[0].training.buffers) {
    EXPECT_FALSE(earmark::testing::same_bits(outcomes[1].training.buffers.at(name), buffer)) << name;
  }
}

}  // namespace
}  // namespace earmark::train
