// Steps of several ranks against the same step of one.
#include "train/data_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <optional>

#include "kernels/error.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"
#include "tests/ranks.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::largest_difference;
using earmark::testing::normal;
using earmark::testing::same_bits;

constexpr std::int64_t kPairs = 8;

/// Everything a step makes.
struct Step {
  double loss = 0;
  double top1 = 0;
  std::map<std::string, Tensor> gradients;
  std::map<std::string, Tensor> buffers;
};

std::shared_ptr<nn::Encoder> encoder_in_double(nn::Attention attention) {
  nn::EncoderOptions options = tiny_options().encoder;
  options.attention = attention;
  return nn::make_encoder(options, 1, DType::f64);
}

void keep(const nn::Encoder& encoder, const NtXentResult& result, Step& step) {
  step.loss = result.loss.value().item();
  step.top1 = result.top1.item();
  for (const nn::NamedParameter& parameter : encoder.parameters()) {
    if (parameter.variable.grad()) {
      step.gradients[parameter.name] = parameter.variable.grad().clone();
    }
  }
  for (const nn::NamedBuffer& buffer : encoder.buffers()) {
    step.buffers[buffer.name] = buffer.tensor.clone();
  }
}

Tensor views(std::int64_t begin, std::int64_t end) {
  const Tensor clean = normal({kPairs, 16, 24, 1}, 5);
  const Tensor distorted = normal({kPairs, 16, 24, 1}, 6);
  for (std::int64_t i = 0; i < clean.numel(); ++i) {
    distorted.mutable_data<double>()[i] = clean.data<double>()[i] + 0.3 * distorted.data<double>()[i];
  }
  return concatenate(clean.slice(begin, end), distorted.slice(begin, end));
}

/// One step of a trainer on this rank's share of the pairs, with reduction groups.
Step step_in_groups(const std::shared_ptr<Communicator>& ranks, const TrainOptions& options, DType dtype,
                    std::int64_t groups) {
  nn::Model model = nn::make_model(options.features, options.encoder, 1);
  model.encoder = nn::make_encoder(options.encoder, 1, dtype);
  const ReductionGroups own(groups, ranks->size());
  std::optional<DataParallel> parallel;
  if (ranks->size() > 1) {
    parallel.emplace(ranks, *model.encoder, true, own);
    parallel->begin_step();
  }
  const RankStatisticsScope statistics(parallel ? parallel->statistics() : nullptr);
  const ReductionGroupsScope scope(own);
  const std::int64_t share = kPairs / ranks->size();
  const Tensor both = views(ranks->rank() * share, (ranks->rank() + 1) * share).to(dtype);
  const Variable embeddings =
      model.encoder->forward(Variable(concatenate(both.slice(0, share), both.slice(share, 2 * share), {}, own.own())));
  const NtXentResult result = parallel ? parallel->loss(embeddings, 0.1) : nt_xent(embeddings, 0.1);
  result.loss.backward();
  if (parallel) {
    parallel->finish_step(result);
  }
  Step step;
  keep(*model.encoder, result, step);
  return step;
}

Step step_of_one(nn::Attention attention) {
  const std::shared_ptr<nn::Encoder> encoder = encoder_in_double(attention);
  const NtXentResult result = nt_xent(encoder->forward(Variable(views(0, kPairs))), 0.1);
  result.loss.backward();
  Step step;
  keep(*encoder, result, step);
  return step;
}

Step step_of_rank(const std::shared_ptr<Communicator>& ranks, nn::Attention attention, bool sync_batch_norm) {
  const std::shared_ptr<nn::Encoder> encoder = encoder_in_double(attention);
  DataParallel parallel(ranks, *encoder, sync_batch_norm);
  const std::int64_t share = kPairs / ranks->size();
  const RankStatisticsScope scope(parallel.statistics());
  parallel.begin_step();
  const Variable embeddings = encoder->forward(Variable(views(ranks->rank() * share, (ranks->rank() + 1) * share)));
  const NtXentResult result = parallel.loss(embeddings, 0.1);
  result.loss.backward();
  parallel.finish_step(result);
  Step step;
  keep(*encoder, result, step);
  return step;
}

TEST(DataParallel, AStepOfRanksIsTheStepOfOne) {
  for (const nn::Attention attention : {nn::Attention::twice, nn::Attention::none}) {
    const Step want = step_of_one(attention);
    for (const int size : {2, 4}) {
      run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
        const Step got = step_of_rank(ranks, attention, true);
        EXPECT_NEAR(got.loss, want.loss, 1e-12);
        EXPECT_EQ(got.top1, want.top1);
        EXPECT_EQ(got.gradients.size(), want.gradients.size());
        for (const auto& [name, gradient] : want.gradients) {
          const double size_of_it = largest_difference(gradient, zeros_like(gradient));
          EXPECT_LT(largest_difference(got.gradients.at(name), gradient), 1e-10 * (1 + size_of_it)) << name;
        }
        for (const auto& [name, buffer] : want.buffers) {
          EXPECT_LT(largest_difference(got.buffers.at(name), buffer), 1e-12) << name;
        }
      });
    }
  }
}

TEST(DataParallel, WithReductionGroupsAStepHasTheSameBitsForAnyNumberOfRanks) {
  TrainOptions options = tiny_options();
  options.encoder.attention_init = nn::AttentionInit::normal;
  options.encoder.attention_deviation = 0.1;
  for (const TrainOptions& tried : {options, with_nafps_network(options)}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      Step one;
      for (const int size : {1, 2, 4}) {
        run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
          const Step got = step_in_groups(ranks, tried, dtype, 4);
          if (size == 1) {
            one = got;
          }
          EXPECT_EQ(got.loss, one.loss);
          EXPECT_EQ(got.top1, one.top1);
          EXPECT_EQ(got.gradients.size(), one.gradients.size());
          for (const auto& [name, gradient] : one.gradients) {
            EXPECT_TRUE(same_bits(got.gradients.at(name), gradient)) << name << " of " << size << " ranks";
          }
          for (const auto& [name, buffer] : one.buffers) {
            EXPECT_TRUE(same_bits(got.buffers.at(name), buffer)) << name << " of " << size << " ranks";
          }
        });
      }
    }
  }
}

TEST(DataParallel, ReductionGroupsChangeAStepByRoundingAlone) {
  TrainOptions options = tiny_options();
  for (const TrainOptions& tried : {options, with_nafps_network(options)}) {
    run_as_ranks(1, [&](const std::shared_ptr<Communicator>& alone) {
      const Step plain = step_in_groups(alone, tried, DType::f64, 1);
      const Step grouped = step_in_groups(alone, tried, DType::f64, 4);
      EXPECT_NEAR(grouped.loss, plain.loss, 1e-12);
      EXPECT_EQ(grouped.top1, plain.top1);
      for (const auto& [name, gradient] : plain.gradients) {
        const double size_of_it = largest_difference(gradient, zeros_like(gradient));
        EXPECT_LT(largest_difference(grouped.gradients.at(name), gradient), 1e-10 * (1 + size_of_it)) << name;
      }
      for (const auto& [name, buffer] : plain.buffers) {
        EXPECT_LT(largest_difference(grouped.buffers.at(name), buffer), 1e-12) << name;
      }
    });
  }
}

TEST(DataParallel, WithoutCommonStatisticsRanksNormaliseTheirOwn) {
  const Step one = step_of_one(nn::Attention::twice);
  std::vector<Step> steps(2);
  run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
    steps[static_cast<std::size_t>(ranks->rank())] = step_of_rank(ranks, nn::Attention::twice, false);
  });
  EXPECT_EQ(steps[0].loss, steps[1].loss);
  EXPECT_GT(std::abs(steps[0].loss - one.loss), 1e-6);
  EXPECT_GT(largest_difference(steps[0].buffers.at("front.norm.running_mean"),
                               steps[1].buffers.at("front.norm.running_mean")),
            1e-9);
  for (const auto& [name, gradient] : steps[0].gradients) {
    EXPECT_TRUE(same_bits(gradient, steps[1].gradients.at(name))) << name;
  }
}

TEST(DataParallel, RanksBeginWithWhatRankZeroHas) {
  const TrainOptions options = tiny_options();
  std::vector<Tensor> weights(3);
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    const auto seed = static_cast<std::uint64_t>(ranks->rank() + 1);
    Trainer trainer(nn::make_model(options.features, options.encoder, seed), options.optimizer, 0.1);
    trainer.join(ranks, true);
    weights[static_cast<std::size_t>(ranks->rank())] =
        trainer.model().encoder->parameters().front().variable.value().clone();
  });
  EXPECT_TRUE(same_bits(weights[0], weights[1]));
  EXPECT_TRUE(same_bits(weights[0], weights[2]));
  EXPECT_TRUE(same_bits(weights[0], nn::make_encoder(options.encoder, 1)->parameters().front().variable.value()));
}

/// A sum over products with three leaves, of which backward completes c first and a last.
Variable small_graph(const std::vector<nn::NamedParameter>& leaves, double factor) {
  Variable x = Variable(Tensor::full({100}, factor, DType::f64));
  for (const nn::NamedParameter& leaf : leaves) {
    x = mul(x, leaf.variable);
  }
  return sum(x);
}

TEST(GradientBuckets, AverageGradientsWhileBackwardRuns) {
  run_as_ranks(2, [](const std::shared_ptr<Communicator>& ranks) {
    std::vector<nn::NamedParameter> leaves;
    for (const char* name : {"a", "b", "c"}) {
      leaves.push_back({name, Variable(Tensor::full({100}, 2, DType::f64), true)});
    }
    leaves.push_back({"unused", Variable(Tensor::full({100}, 2, DType::f64), true)});
    GradientBuckets buckets(leaves, ranks, 800);
    for (int step = 0; step < 3; ++step) {
      buckets.begin_step();
      small_graph({leaves.begin(), leaves.begin() + 3}, 1.0 + ranks->rank()).backward();
      buckets.finish_step();
      EXPECT_EQ(buckets.buckets(), 3U);
      EXPECT_EQ(buckets.early(), step == 0 ? 0U : 3U) << "all were on their way when backward ended";
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(largest_difference(leaves[i].variable.grad(), Tensor::full({100}, 1.5 * 4, DType::f64)), 0);
        leaves[i].variable.zero_grad();
      }
      EXPECT_FALSE(leaves[3].variable.grad());
    }
    buckets.begin_step();
    small_graph({leaves.begin(), leaves.begin() + 2}, 1).backward();
    EXPECT_THROW(buckets.finish_step(), Error) << "c has none";
  });
}

}  // namespace
}  // namespace earmark::train
