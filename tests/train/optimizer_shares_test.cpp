// An optimiser's state divided among ranks: the bits of the optimiser of one, with a part of its memory.
#include "train/optimizer_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/error.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/adam.h"

namespace earmark::train {
namespace {

using earmark::testing::normal;
using earmark::testing::same_bits;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Pieces = std::vector<ParameterPiece>;

TEST(ShareOut, DividesEvenlyAtTheGrains) {
  const std::vector<SharedParameter> parameters{{100, 1}, {20, 1}, {80, 1}};
  EXPECT_THAT(share_out(parameters, 1), ElementsAre(Pieces{{0, 0, 100}, {1, 0, 20}, {2, 0, 80}}));
  EXPECT_THAT(share_out(parameters, 2), ElementsAre(Pieces{{0, 0, 100}}, Pieces{{1, 0, 20}, {2, 0, 80}}));
  EXPECT_THAT(share_out(parameters, 4), ElementsAre(Pieces{{0, 0, 50}}, Pieces{{0, 50, 100}},
                                                    Pieces{{1, 0, 20}, {2, 0, 30}}, Pieces{{2, 30, 80}}));
  const std::vector<SharedParameter> coarse{{100, 64}, {20, 64}, {80, 64}};
  EXPECT_THAT(share_out(coarse, 2), ElementsAre(Pieces{{0, 0, 100}}, Pieces{{1, 0, 20}, {2, 0, 80}}));
  EXPECT_THAT(share_out(coarse, 4), ElementsAre(Pieces{{0, 0, 64}}, Pieces{{0, 64, 100}, {1, 0, 20}},
                                                Pieces{{2, 0, 64}}, Pieces{{2, 64, 80}}));
}

TEST(ShareOut, NoShareIsLargerThanItMustBe) {
  const std::vector<SharedParameter> whole{{5, 5}, {3, 3}, {4, 4}, {9, 9}, {2, 2}, {2, 2}};
  EXPECT_THAT(share_out(whole, 3),
              ElementsAre(Pieces{{0, 0, 5}, {1, 0, 3}, {2, 0, 4}}, Pieces{{3, 0, 9}, {4, 0, 2}}, Pieces{{5, 0, 2}}));
}

TEST(ShareOut, MoreRanksThanGrainsLeaveSomeWithNothing) {
  const std::vector<Share> shares = share_out(std::vector<SharedParameter>{{10, 10}}, 3);
  EXPECT_THAT(shares, ElementsAre(Pieces{{0, 0, 10}}, Pieces{}, Pieces{}));
}

TEST(ShareOut, RefusesWhatIsNone) {
  EXPECT_THAT(testing::error_of([] { share_out({}, 0); }), HasSubstr("0 ranks"));
  EXPECT_THAT(testing::error_of([] {
                share_out(std::vector<SharedParameter>{{4, 0}}, 2);
              }),
              HasSubstr("multiples of 0"));
}

TEST(ExchangeShares, EachGetsTheOthersPieces) {
  constexpr std::int64_t kMany = 6'000'000;  // elements: of f64, the largest share goes in several parts
  const std::vector<SharedParameter> parameters{{kMany, 1}, {5, 1}, {7, 7}};
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    const std::vector<Share> shares = share_out(parameters, 3);
    std::vector<Tensor> values;
    for (const SharedParameter& parameter : parameters) {
      values.push_back(Tensor::full({parameter.elements}, -1, DType::f64));
    }
    for (const ParameterPiece& piece : shares[static_cast<std::size_t>(ranks->rank())]) {
      double* const begin = piece_of(values[piece.parameter], piece).mutable_data<double>();
      std::iota(begin, begin + piece.size(), static_cast<double>(piece.begin));
    }
    exchange_shares(*ranks, shares, DType::f64, {}, [&](int rank, std::size_t i) {
      const ParameterPiece& piece = shares[static_cast<std::size_t>(rank)][i];
      const bool wanted = rank == ranks->rank() || piece.parameter != 2;
      return wanted ? piece_of(values[piece.parameter], piece) : Tensor();
    });
    for (const std::size_t parameter : {0U, 1U}) {
      std::vector<double> want(static_cast<std::size_t>(values[parameter].numel()));
      std::iota(want.begin(), want.end(), 0.0);
      EXPECT_TRUE(std::equal(want.begin(), want.end(), values[parameter].data<double>())) << parameter;
    }
    EXPECT_EQ(values[2].data<double>()[6], ranks->rank() == 2 ? 6 : -1) << "it was not asked for";
  });
}

struct DividedCase {
  OptimizerKind kind;
  bool nafp;
};

class DividedOptimizer : public ::testing::TestWithParam<DividedCase> {
 protected:
  DividedOptimizer() {
    if (GetParam().nafp) {
      options_ = with_nafps_network(options_);
    }
    options_.optimizer.kind = GetParam().kind;
    options_.optimizer.clip_norm = 1;
    options_.optimizer.weight_decay = 0.1;
  }
  std::shared_ptr<nn::Encoder> encoder() const { return nn::make_encoder(options_.encoder, 1); }

  /// One step with gradients that `step` decides. The second parameter, a bias, has none.
  static void step(const nn::Encoder& encoder, Adam& adam, std::uint64_t step, double first = 0) {
    for (std::size_t i = 0; i < encoder.parameters().size(); ++i) {
      Variable variable = encoder.parameters()[i].variable;
      if (i != 1) {
        variable.set_grad(normal(variable.shape(), 100 * step + i, DType::f32));
      }
      if (i == 0 && first != 0) {
        variable.grad().mutable_data<float>()[0] = static_cast<float>(first);
      }
    }
    adam.step(0.01, Tensor::full({}, 1));
  }
  static void expect_same(const nn::Encoder& got, const nn::Encoder& want) {
    for (std::size_t i = 0; i < want.parameters().size(); ++i) {
      EXPECT_TRUE(same_bits(got.parameters()[i].variable.value(), want.parameters()[i].variable.value()))
          << want.parameters()[i].name;
    }
  }
  static void expect_same(const nn::SafetensorsFile& got, const nn::SafetensorsFile& want) {
    EXPECT_EQ(got.metadata, want.metadata);
    ASSERT_EQ(got.tensors.size(), want.tensors.size());
    for (std::size_t i = 0; i < want.tensors.size(); ++i) {
      EXPECT_EQ(got.tensors[i].first, want.tensors[i].first);
      EXPECT_TRUE(same_bits(got.tensors[i].second, want.tensors[i].second)) << want.tensors[i].first;
    }
  }

  TrainOptions options_ = tiny_options();
};

TEST_P(DividedOptimizer, MovesParametersToTheSameBits) {
  const auto alone = encoder();
  Adam whole(*alone, options_.optimizer);
  for (int i = 0; i < 3; ++i) {
    step(*alone, whole, i);
  }
  for (const int size : {2, 3, 5}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      const auto together = encoder();
      Adam adam(*together, options_.optimizer);
      step(*together, adam, 0);  // moments that are there are divided
      adam.divide_among(ranks);
      step(*together, adam, 1);
      step(*together, adam, 2);
      EXPECT_EQ(adam.norm().item(), whole.norm().item());
      expect_same(*together, *alone);
      const nn::SafetensorsFile state = adam.state();
      if (ranks->rank() == 0) {
        expect_same(state, whole.state());
      } else {
        EXPECT_TRUE(state.tensors.empty());
        EXPECT_EQ(state.metadata, whole.state().metadata);
      }
    });
  }
}

TEST_P(DividedOptimizer, GoesOnFromTheStateOfAnyNumberOfRanks) {
  const auto alone = encoder();
  Adam whole(*alone, options_.optimizer);
  step(*alone, whole, 0);
  const nn::SafetensorsFile begun = [&] {
    nn::SafetensorsFile copy = whole.state();
    for (auto& [name, moment] : copy.tensors) {
      moment = moment.clone();
    }
    return copy;
  }();
  step(*alone, whole, 1);
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    const auto together = encoder();
    Adam adam(*together, options_.optimizer);
    adam.divide_among(ranks);
    step(*together, adam, 7);
    const auto begin = encoder();
    Adam first(*begin, options_.optimizer);
    step(*begin, first, 0);
    for (std::size_t i = 0; i < begin->parameters().size(); ++i) {
      together->parameters()[i].variable.value().copy_from(begin->parameters()[i].variable.value());
    }
    adam.load_state(begun, "a checkpoint");
    step(*together, adam, 1);
    expect_same(*together, *alone);
    EXPECT_EQ(adam.steps_done(), 2);
  });
}

TEST_P(DividedOptimizer, AGradientThatIsNoNumberMovesNothingAnywhere) {
  run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
    const auto together = encoder();
    Adam adam(*together, options_.optimizer);
    adam.divide_among(ranks);
    step(*together, adam, 0);
    const nn::SafetensorsFile before = [&] {
      nn::SafetensorsFile copy = adam.state();
      copy.metadata["steps_done"] = "2";
      return copy;
    }();
    std::vector<Tensor> values;
    for (const nn::NamedParameter& parameter : together->parameters()) {
      values.push_back(parameter.variable.value().clone());
    }
    step(*together, adam, 1, std::numeric_limits<double>::quiet_NaN());
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_TRUE(same_bits(together->parameters()[i].variable.value(), values[i])) << i;
    }
    expect_same(adam.state(), before);
  });
}

TEST_P(DividedOptimizer, KeepsAShareOfTheMoments) {
  const auto alone = encoder();
  const double whole = static_cast<double>(Adam(*alone, options_.optimizer).bytes());
  EXPECT_EQ(whole, 2 * sizeof(float) * static_cast<double>(alone->parameter_count()));
  double largest_layer = 0;
  for (const nn::NamedParameter& parameter : alone->parameters()) {
    const auto bytes = 2 * static_cast<double>(parameter.variable.value().bytes());
    largest_layer = std::max(largest_layer, bytes / static_cast<double>(parameter.layers));
  }
  constexpr int kRanks = 4;
  std::vector<double> kept(kRanks);
  run_as_ranks(kRanks, [&](const std::shared_ptr<Communicator>& ranks) {
    Adam adam(*encoder(), options_.optimizer);
    adam.divide_among(ranks);
    kept[static_cast<std::size_t>(ranks->rank())] = static_cast<double>(adam.bytes());
  });
  EXPECT_EQ(std::accumulate(kept.begin(), kept.end(), 0.0), whole);
  const double grain = GetParam().kind == OptimizerKind::lamb ? largest_layer : 2 * 64 * sizeof(float);
  EXPECT_LE(*std::max_element(kept.begin(), kept.end()), whole / kRanks + grain);
}

INSTANTIATE_TEST_SUITE_P(All, DividedOptimizer,
                         ::testing::Values(DividedCase{OptimizerKind::adam, false},
                                           DividedCase{OptimizerKind::adam, true},
                                           DividedCase{OptimizerKind::lamb, false},
                                           DividedCase{OptimizerKind::lamb, true}),
                         [](const ::testing::TestParamInfo<DividedCase>& one) {
                           return std::string(one.param.kind == OptimizerKind::lamb ? "Lamb" : "Adam") +
                                  (one.param.nafp ? "Nafp" : "Attention");
                         });

TEST(DividedOptimizerOnce, IsDividedOnce) {
  const auto encoder = nn::make_encoder(tiny_options().encoder, 1);
  Adam adam(*encoder, {});
  adam.divide_among(make_communicator({}, {}));
  EXPECT_THAT(testing::error_of([&] { adam.divide_among(make_communicator({}, {})); }), HasSubstr("divided already"));
}

}  // namespace
}  // namespace earmark::train
