// A step in micro-batches against the same step in one graph.
#include "train/gradient_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>

#include "kernels/error.h"
#include "kernels/storage.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/data_parallel.h"
#include "train/trainer.h"

namespace earmark::train {
namespace {

using earmark::testing::largest_difference;
using earmark::testing::normal;
using earmark::testing::same_bits;
using ::testing::HasSubstr;

constexpr std::int64_t kCachedPairs = 8;
constexpr double kTemperature = 0.1;

/// What a step leaves, in double.
struct CachedOutcome {
  double loss = 0;
  double top1 = 0;
  std::map<std::string, Tensor> gradients;
  std::map<std::string, Tensor> buffers;
};

CachedOutcome outcome_of(const nn::Encoder& encoder, const NtXentResult& result) {
  CachedOutcome outcome{.loss = result.loss.value().item(), .top1 = result.top1.item(), .gradients = {}, .buffers = {}};
  for (const nn::NamedParameter& parameter : encoder.parameters()) {
    if (parameter.variable.grad()) {
      outcome.gradients[parameter.name] = parameter.variable.grad().clone();
    }
  }
  for (const nn::NamedBuffer& buffer : encoder.buffers()) {
    outcome.buffers[buffer.name] = buffer.tensor.clone();
  }
  return outcome;
}

void expect_close_outcome(const CachedOutcome& got, const CachedOutcome& want, double slack) {
  EXPECT_NEAR(got.loss, want.loss, 1e-12);
  EXPECT_EQ(got.top1, want.top1);
  EXPECT_EQ(got.gradients.size(), want.gradients.size());
  for (const auto& [name, gradient] : want.gradients) {
    const double size = largest_difference(gradient, zeros_like(gradient));
    EXPECT_LT(largest_difference(got.gradients.at(name), gradient), slack * (1 + size)) << name;
  }
  for (const auto& [name, buffer] : want.buffers) {
    EXPECT_LT(largest_difference(got.buffers.at(name), buffer), 1e-12) << name;
  }
}

std::shared_ptr<nn::Encoder> fresh_encoder(const std::string& type) {
  const TrainOptions options = type == "nafp" ? with_nafps_network(tiny_options()) : tiny_options();
  return nn::make_encoder(options.encoder, 1, DType::f64);
}

/// Both views of the pairs with these numbers, of any batch the same.
Tensor views_of(const std::vector<std::int64_t>& pairs) {
  const Tensor clean = normal({kCachedPairs, 16, 24, 1}, 5);
  const Tensor noise = normal({kCachedPairs, 16, 24, 1}, 6);
  const auto count = static_cast<std::int64_t>(pairs.size());
  const Tensor views({2 * count, 16, 24, 1}, DType::f64);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t pair = pairs[static_cast<std::size_t>(i)];
    views.slice(i, i + 1).copy_from(clean.slice(pair, pair + 1));
    const Tensor other = views.slice(count + i, count + i + 1);
    for (std::int64_t k = 0; k < other.numel(); ++k) {
      other.mutable_data<double>()[k] =
          clean.slice(pair, pair + 1).data<double>()[k] + 0.3 * noise.slice(pair, pair + 1).data<double>()[k];
    }
  }
  return views;
}

Tensor all_views() {
  std::vector<std::int64_t> pairs(kCachedPairs);
  std::iota(pairs.begin(), pairs.end(), 0);
  return views_of(pairs);
}

CachedOutcome in_micro_batches(const std::string& type, const Tensor& views, std::int64_t micro_batch) {
  const std::shared_ptr<nn::Encoder> encoder = fresh_encoder(type);
  const NtXentResult result =
      cached_backward(views, {.micro_batch = micro_batch,
                              .forward = [&](const Tensor& part) { return encoder->forward(Variable(part)); },
                              .loss = [](const Variable& all) { return nt_xent(all, kTemperature); },
                              .before_last = [] {}});
  return outcome_of(*encoder, result);
}

/// Embeddings (2m, D) of parts as those of all (2P, D): all first views, then all second views.
Variable joined(const std::vector<Variable>& parts) {
  const std::int64_t part_pairs = parts.front().shape()[0] / 2;
  const auto count = static_cast<std::int64_t>(parts.size());
  const Tensor all(parts.front().shape().with_leading(2 * count * part_pairs), DType::f64);
  const auto rows = [=](const Tensor& whole, std::int64_t part, std::int64_t view) {
    const std::int64_t begin = (view * count + part) * part_pairs;
    return whole.slice(begin, begin + part_pairs);
  };
  for (std::int64_t part = 0; part < count; ++part) {
    for (const std::int64_t view : {0, 1}) {
      rows(all, part, view)
          .copy_from(parts[static_cast<std::size_t>(part)].value().slice(view * part_pairs, (view + 1) * part_pairs));
    }
  }
  return record("joined", all, parts, [=](const Tensor& dall) {
    std::vector<Tensor> gradients;
    for (std::int64_t part = 0; part < count; ++part) {
      gradients.push_back(concatenate(rows(dall, part, 0), rows(dall, part, 1)));
    }
    return gradients;
  });
}

/// The function that micro-batches compute, in one graph.
CachedOutcome in_one_graph(const std::string& type, std::int64_t micro_batch) {
  const std::shared_ptr<nn::Encoder> encoder = fresh_encoder(type);
  std::vector<Variable> parts;
  for (std::int64_t begin = 0; begin < kCachedPairs; begin += micro_batch) {
    std::vector<std::int64_t> pairs(static_cast<std::size_t>(micro_batch));
    std::iota(pairs.begin(), pairs.end(), begin);
    parts.push_back(encoder->forward(Variable(views_of(pairs))));
  }
  const NtXentResult result = nt_xent(joined(parts), kTemperature);
  result.loss.backward();
  return outcome_of(*encoder, result);
}

TEST(GradientCache, WithoutBatchStatisticsGradientsAreTheWholeBatchs) {
  const CachedOutcome whole = in_micro_batches("nafp", all_views(), kCachedPairs);
  for (const std::int64_t micro_batch : {1, 2, 4}) {
    expect_close_outcome(in_micro_batches("nafp", all_views(), micro_batch), whole, 1e-10);
  }
}

TEST(GradientCache, WithBatchNormalisationTheyAreThoseOfOneGraph) {
  for (const std::int64_t micro_batch : {2, 4, 8}) {
    const CachedOutcome want = in_one_graph("attention", micro_batch);
    const CachedOutcome got = in_micro_batches("attention", all_views(), micro_batch);
    expect_close_outcome(got, want, 1e-12);
    for (const auto& [name, buffer] : want.buffers) {
      EXPECT_TRUE(same_bits(got.buffers.at(name), buffer)) << name << ": moved once for each micro-batch";
    }
  }
}

TEST(GradientCache, MicroBatchesAreAnotherFunctionOnlyWhereStatisticsAreTheBatchs) {
  const CachedOutcome whole = in_one_graph("attention", kCachedPairs);
  const CachedOutcome parts = in_one_graph("attention", 2);
  EXPECT_GT(std::abs(parts.loss - whole.loss), 1e-6);
}

// Ranks' micro-batches of two pairs each are together one rank's of four. What the ranks exchange early, they do during
// the last backward pass.
TEST(GradientCache, RanksTogetherAreOneRank) {
  for (const std::string type : {"attention", "nafp"}) {
    const CachedOutcome want = in_micro_batches(type, all_views(), 4);
    run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
      const std::shared_ptr<nn::Encoder> encoder = fresh_encoder(type);
      DataParallel parallel(ranks, *encoder, true);
      const std::int64_t first = 2 * ranks->rank();
      const Tensor views = views_of({first, first + 1, 4 + first, 4 + first + 1});
      const RankStatisticsScope scope(parallel.statistics());
      for (int step = 0; step < 2; ++step) {  // in the second, buckets are on their way early
        for (const nn::NamedParameter& parameter : encoder->parameters()) {
          Variable(parameter.variable).zero_grad();
        }
        const auto fresh = fresh_encoder(type)->buffers();
        for (std::size_t i = 0; i < fresh.size(); ++i) {
          encoder->buffers()[i].tensor.copy_from(fresh[i].tensor);
        }
        parallel.begin_step();
        parallel.set_partial(true);
        const NtXentResult result =
            cached_backward(views, {.micro_batch = 2,
                                    .forward = [&](const Tensor& part) { return encoder->forward(Variable(part)); },
                                    .loss = [&](const Variable& all) { return parallel.loss(all, kTemperature); },
                                    .before_last = [&] { parallel.set_partial(false); }});
        parallel.finish_step(result);
        expect_close_outcome(outcome_of(*encoder, result), want, 1e-10);
      }
    });
  }
}

TEST(GradientCache, KeepsTheActivationsOfOneMicroBatch) {
  for (const std::string type : {"attention", "nafp"}) {
    const std::shared_ptr<nn::Encoder> encoder = fresh_encoder(type);
    const Tensor views = all_views();
    const auto most_bytes = [&](std::int64_t micro_batch) {
      const std::size_t before = cpu_memory().in_use;
      std::size_t most = 0;
      cached_backward(views, {.micro_batch = micro_batch,
                              .forward =
                                  [&](const Tensor& part) {
                                    const Variable out = encoder->forward(Variable(part));
                                    most = std::max(most, cpu_memory().in_use - before);
                                    return out;
                                  },
                              .loss = [](const Variable& all) { return nt_xent(all, kTemperature); },
                              .before_last = [] {}});
      return static_cast<double>(most);
    };
    most_bytes(kCachedPairs);  // from here on gradients are there
    const double whole = most_bytes(kCachedPairs);
    EXPECT_LT(most_bytes(4), 0.6 * whole) << type;
    EXPECT_LT(most_bytes(1), 0.2 * whole) << type;
  }
}

TEST(GradientCache, MicroBatchesThatDoNotDivideTheBatchAreRefused) {
  for (const std::int64_t micro_batch : {3, 16, -1, 0}) {
    EXPECT_THAT(testing::error_of([&] { in_micro_batches("nafp", all_views(), micro_batch); }),
                HasSubstr("16 views cannot be divided into micro-batches of " + std::to_string(micro_batch)));
  }
}

TEST(TrainerInMicroBatches, ClipsAndMovesByTheWholeGradient) {
  TrainOptions options = with_nafps_network(tiny_options());
  options.optimizer.clip_norm = 0.5;
  const TrainingData data = tiny_data(options);
  const auto after_two_steps = [&](std::int64_t micro_batch) {
    nn::Model model = nn::make_model(options.features, options.encoder, 1);
    Trainer trainer(model, options.optimizer, kTemperature, {.micro_batch = micro_batch});
    const StepReport first = trainer.step(data.training->batch(0), 1e-4);
    return std::pair(first, trainer.step(data.training->batch(1), 1e-4));
  };
  const auto [first, second] = after_two_steps(0);
  const auto [cached_first, cached_second] = after_two_steps(2);
  EXPECT_GT(first.grad_norm, options.optimizer.clip_norm);
  EXPECT_NEAR(cached_first.grad_norm, first.grad_norm, 1e-4 * first.grad_norm);
  EXPECT_NEAR(cached_first.loss, first.loss, 1e-5);
  EXPECT_NEAR(cached_second.loss, second.loss, 1e-4);
  EXPECT_EQ(cached_first.top1, first.top1);
}

}  // namespace
}  // namespace earmark::train
