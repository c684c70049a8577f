// Sums by groups: close to the plain ones, and the same bits however many ranks share the groups.
#include "autograd/reduction_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "autograd/batch_norm.h"
#include "autograd/conv.h"
#include "autograd/functions.h"
#include "autograd/layer_norm.h"
#include "autograd/normalized_attention.h"
#include "autograd/rank_statistics.h"
#include "tests/compare_tensors.h"
#include "tests/op_cases.h"
#include "tests/ranks.h"
#include "tests/test_support.h"

namespace earmark {
namespace {

using testing::Domain;
using testing::draw;
using testing::error_of;
using ::testing::HasSubstr;
using testing::largest_difference;
using testing::same_bits;

constexpr std::int64_t kSamples = 16;
constexpr std::int64_t kGroups = 8;

/// An operation on maps, whose rows the ranks share, and parameters, which all have.
struct GroupedCase {
  std::string name;
  std::vector<Shape> maps;
  std::vector<Shape> parameters;
  std::function<Variable(std::span<const Variable> maps, std::span<const Variable> parameters)> build;
};

using Variables = std::span<const Variable>;

RunningStatistics running_of(const Variable& gamma) {
  const Tensor mean = zeros_like(gamma.value());
  const Tensor variance = zeros_like(gamma.value());
  return {mean, variance};
}

GroupedCase convolution(const std::string& name, const Shape& sample, const Shape& weight, int stride) {
  const ConvOptions options =
      ConvOptions::centred(static_cast<int>(weight[1]), static_cast<int>(weight[2]), stride, stride);
  return {
      name, {{kSamples, sample[0], sample[1], sample[2]}}, {weight, {weight[0]}}, [options](Variables x, Variables p) {
        return conv2d(x[0], p[0], p[1], options);
      }};
}

GroupedCase normalisation(const std::string& name, const Shape& sample, bool elu) {
  return {name, {{kSamples, sample[0], sample[1], sample[2]}}, {sample, sample}, [elu](Variables x, Variables p) {
            return layer_norm(x[0], p[0], p[1], {.elu = elu});
          }};
}

GroupedCase linear(const std::string& name, std::int64_t groups, std::int64_t inputs, std::int64_t outputs) {
  return {
      name, {{kSamples, groups, inputs}}, {{groups, outputs, inputs}, {groups, outputs}}, [](Variables x, Variables p) {
        return grouped_linear(x[0], p[0], p[1], kernels::Activation::elu);
      }};
}

/// Operations that look at each sample by itself.
std::vector<GroupedCase> cases_by_sample() {
  return {
      convolution("one channel", {5, 7, 1}, {3, 3, 3, 1}, 1),
      convolution("odd channels", {4, 5, 3}, {17, 3, 3, 3}, 2),
      convolution("Winograd, few channels", {8, 10, 32}, {33, 3, 3, 32}, 1),
      convolution("Winograd, many channels", {7, 9, 80}, {72, 3, 3, 80}, 1),
      convolution("weights larger than partials", {2, 3, 320}, {320, 1, 1, 320}, 1),
      normalisation("layer norm", {3, 5, 7}, false),
      normalisation("layer norm, ELU", {9, 5, 61}, true),
      linear("linear", 5, 13, 7),
      linear("linear, one output", 19, 11, 1),
      {"attention",
       {{kSamples, 5, 7, 19}},
       {{19, 7}, {19, 5}},
       [](Variables x, Variables p) {
         return spectral_temporal_attention(x[0], p[0], p[1], {true, 35});
       }},
      {"batch norm, not training",
       {{kSamples, 5, 7, 19}},
       {{19}, {19}},
       [](Variables x, Variables p) {
         return batch_norm(x[0], p[0], p[1], running_of(p[0]), {.training = false, .epsilon = 1});
       }},
      {"pieces without parameters",
       {{kSamples, 5, 77}, {kSamples, 5, 77}},
       {},
       [](Variables x, Variables /*p*/) {
         const Variable y = permute(elu(mul(add(x[0], x[1]), scale(x[0], 0.3))), {0, 2, 1});
         return l2_normalize(reshape(relu(sub(y, permute(x[1], {0, 2, 1}))), {x[0].shape()[0], 385}));
       }},
  };
}

std::vector<GroupedCase> cases_of_batch() {
  return {
      {"batch norm",
       {{kSamples, 5, 7, 19}},
       {{19}, {19}},
       [](Variables x, Variables p) { return batch_norm(x[0], p[0], p[1], running_of(p[0])); }},
      {"batch norm, ReLU, several blocks",
       {{kSamples, 300, 23}},
       {{23}, {23}},
       [](Variables x, Variables p) { return batch_norm(x[0], p[0], p[1], running_of(p[0]), {.relu = true}); }},
      {"normalised attention",
       {{kSamples, 5, 7, 19}},
       {{19}, {19}, {19, 7}, {19, 5}},
       [](Variables x, Variables p) {
         return normalized_attention(x[0], p[0], p[1], {}, running_of(p[0]), p[2], p[3], {true, 35});
       }},
      {"normalised attention with a residual",
       {{kSamples, 5, 7, 19}, {kSamples, 5, 7, 19}},
       {{19}, {19}, {19, 7}, {19, 5}},
       [](Variables x, Variables p) {
         return normalized_attention(x[0], p[0], p[1], x[1], running_of(p[0]), p[2], p[3], {true, 35});
       }},
  };
}

std::vector<GroupedCase> all_cases() {
  std::vector<GroupedCase> all = cases_by_sample();
  for (const GroupedCase& c : cases_of_batch()) {
    all.push_back(c);
  }
  return all;
}

class StatisticsOf final : public RankStatistics {
 public:
  explicit StatisticsOf(std::shared_ptr<Communicator> group) : group_(std::move(group)) {}
  int ranks() const override { return group_->size(); }
  void gather(const Tensor& own, const Tensor& all) const override { group_->all_gather(own, all); }
  void average(const Tensor& a, const Tensor& b) const override { group_->all_reduce(std::array{a, b}, Combine::mean); }
  void add_up(const Tensor& a, const Tensor& b) const override {
    group_->all_reduce(std::array{a, b}, Combine::in_pairs);
  }

 private:
  std::shared_ptr<Communicator> group_;
};

/// The value and the gradients of maps, of samples [begin, end), and the gradients of parameters.
struct Result {
  std::vector<Tensor> of_rows;
  std::vector<Tensor> of_parameters;
};

Result result_of(const GroupedCase& c, DType dtype, std::int64_t begin, std::int64_t end) {
  std::vector<Variable> maps;
  std::vector<Variable> parameters;
  for (std::size_t i = 0; i < c.maps.size(); ++i) {
    maps.emplace_back(draw(c.maps[i], Domain::normal, dtype, 11, i).slice(begin, end).clone(), true);
  }
  for (std::size_t i = 0; i < c.parameters.size(); ++i) {
    parameters.emplace_back(draw(c.parameters[i], Domain::normal, dtype, 12, i), true);
  }
  const Variable out = c.build(maps, parameters);
  out.backward(draw(out.shape().with_leading(kSamples), Domain::normal, dtype, 13).slice(begin, end).clone());
  Result result{{out.value()}, {}};
  for (const Variable& map : maps) {
    result.of_rows.push_back(map.grad());
  }
  for (const Variable& parameter : parameters) {
    result.of_parameters.push_back(parameter.grad());
  }
  return result;
}

/// The same by `ranks`, put together again.
Result shared_result(const GroupedCase& c, DType dtype, const std::shared_ptr<Communicator>& ranks) {
  const StatisticsOf statistics(ranks);
  const RankStatisticsScope of_all(ranks->size() > 1 ? &statistics : nullptr);
  const ReductionGroupsScope scope(ReductionGroups(kGroups, ranks->size()));
  const std::int64_t share = kSamples / ranks->size();
  Result result = result_of(c, dtype, ranks->rank() * share, (ranks->rank() + 1) * share);
  for (Tensor& part : result.of_rows) {
    const Tensor whole(part.shape().with_leading(kSamples), dtype);
    ranks->all_gather(part, whole);
    part = whole;
  }
  ranks->all_reduce(result.of_parameters, Combine::in_pairs);
  return result;
}

void expect_same_bits(const Result& got, const Result& want, const std::string& name) {
  for (std::size_t i = 0; i < want.of_rows.size(); ++i) {
    EXPECT_TRUE(same_bits(got.of_rows[i], want.of_rows[i])) << name << ", value or map " << i;
  }
  for (std::size_t i = 0; i < want.of_parameters.size(); ++i) {
    EXPECT_TRUE(same_bits(got.of_parameters[i], want.of_parameters[i])) << name << ", parameter " << i;
  }
}

TEST(ReductionGroups, GiveTheSameBitsForAnyNumberOfRanks) {
  const std::vector<GroupedCase> cases = all_cases();
  std::vector<Result> one(cases.size());
  for (const int size : {1, 2, 4, 8}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      for (std::size_t i = 0; i < cases.size(); ++i) {
        const Result got = shared_result(cases[i], DType::f32, ranks);
        if (size == 1) {
          one[i] = got;
        }
        expect_same_bits(got, one[i], cases[i].name + " by " + std::to_string(size));
      }
    });
  }
}

TEST(ReductionGroups, DifferFromPlainSumsByRoundingAlone) {
  for (const GroupedCase& c : all_cases()) {
    const Result plain = result_of(c, DType::f64, 0, kSamples);
    const Result grouped = [&] {
      const ReductionGroupsScope scope(ReductionGroups(kGroups, 1));
      return result_of(c, DType::f64, 0, kSamples);
    }();
    for (std::size_t i = 0; i < plain.of_rows.size(); ++i) {
      EXPECT_LT(largest_difference(grouped.of_rows[i], plain.of_rows[i]), 1e-11) << c.name << ", map " << i;
    }
    for (std::size_t i = 0; i < plain.of_parameters.size(); ++i) {
      EXPECT_LT(largest_difference(grouped.of_parameters[i], plain.of_parameters[i]), 1e-9)
          << c.name << ", parameter " << i;
    }
  }
}

// What groups rely on: a batch is only many samples.
TEST(ReductionGroups, ASampleHasTheSameBitsInAnyCompany) {
  for (const GroupedCase& c : cases_by_sample()) {
    const Result all = result_of(c, DType::f32, 0, kSamples);
    for (const auto& [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {3, 6}, {5, kSamples}}) {
      const Result some = result_of(c, DType::f32, begin, end);
      for (std::size_t i = 0; i < all.of_rows.size(); ++i) {
        EXPECT_TRUE(same_bits(some.of_rows[i], all.of_rows[i].slice(begin, end).clone()))
            << c.name << ", map " << i << ", samples from " << begin << " to " << end;
      }
    }
  }
}

TEST(ReductionGroups, AddUpInPairs) {
  const std::vector<float> values{1, 1e-8F, -1, 3, 1e8F, -7, 2, 5};
  const ReductionGroups groups(8, 1);
  std::vector<std::int64_t> begun;
  const std::vector<Tensor> sum = groups.sum(16, [&](const RowRange& group) {
    begun.push_back(group.begin);
    EXPECT_EQ(group.end, group.begin + 2);
    return std::vector{Tensor::full({1}, values[static_cast<std::size_t>(group.begin / 2)]), Tensor()};
  });
  EXPECT_THAT(begun, ::testing::ElementsAre(0, 2, 4, 6, 8, 10, 12, 14));
  const auto pair = [&](std::size_t i) { return values[i] + values[i + 1]; };
  const float expected = (pair(0) + pair(2)) + (pair(4) + pair(6));
  EXPECT_EQ(sum[0].item(), static_cast<double>(expected));
  EXPECT_FALSE(sum[1]);
}

TEST(ReductionGroups, NtXentIsThatOfTheWholeBatch) {
  constexpr std::int64_t kPairs = 12;
  const Tensor rows = draw({2 * kPairs, 9}, Domain::unit_rows, DType::f64, 3);
  // Row of view v of pair p, first views before second ones, and where it is among groups of three pairs.
  const auto by_group = [](std::int64_t row) {
    const std::int64_t pair = row % kPairs;
    return pair / 3 * 6 + row / kPairs * 3 + pair % 3;
  };
  const Tensor reordered = empty_like(rows);
  for (std::int64_t row = 0; row < 2 * kPairs; ++row) {
    reordered.slice(by_group(row), by_group(row) + 1).copy_from(rows.slice(row, row + 1));
  }
  const Variable plain(rows, true);
  const NtXentResult want = nt_xent(plain, 0.2);
  want.loss.backward();
  const ReductionGroupsScope scope(ReductionGroups(4, 1));
  const Variable grouped(reordered, true);
  const NtXentResult got = nt_xent(grouped, 0.2);
  got.loss.backward();
  EXPECT_NEAR(got.loss.value().item(), want.loss.value().item(), 1e-13);
  EXPECT_NEAR(got.top1.item(), want.top1.item(), 1e-15);
  for (std::int64_t row = 0; row < 2 * kPairs; ++row) {
    EXPECT_LT(
        largest_difference(grouped.grad().slice(by_group(row), by_group(row) + 1), plain.grad().slice(row, row + 1)),
        1e-14)
        << row;
  }
}

TEST(ReductionGroups, WhatCannotBeSharedOutIsRefused) {
  EXPECT_THAT(error_of([] { ReductionGroups(6, 1); }), HasSubstr("expected a power of two, got 6"));
  EXPECT_THAT(error_of([] { ReductionGroups(4, 3); }), HasSubstr("4 cannot be shared out among 3 processes"));
  EXPECT_THAT(error_of([] { ReductionGroups(4, 2).rows_of(0, 7); }), HasSubstr("7 rows cannot be cut into 2 groups"));
  EXPECT_FALSE(ReductionGroups(1, 3).on());
  const ReductionGroupsScope scope(ReductionGroups(4, 2));
  const Variable square(Tensor::zeros({4, 4}), true);
  EXPECT_THAT(error_of([&] { matmul(square, square); }), HasSubstr("matmul knows no reduction groups"));
  EXPECT_THAT(error_of([&] { mean(square); }), HasSubstr("mean knows no reduction groups"));
  EXPECT_THAT(error_of([&] { sum(square); }), HasSubstr("sum knows no reduction groups"));
}

}  // namespace
}  // namespace earmark
