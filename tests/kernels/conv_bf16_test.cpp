// Convolutions of operands that are rounded to bf16, in tiles and in pairs. Called by their own names they run
// anywhere: without the instructions, by plain loops.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/conv_bf16_pairs.h"
#include "kernels/cpu/conv_tiles.h"
#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using kernels::cpu::ConvExtents;
using testing::normal;
using testing::same_bits;

struct TileLayer {
  Shape x;
  Shape weight;
  ConvOptions options;
};

const ConvOptions kStride1 = ConvOptions::centred(3, 3, 1, 1);
const ConvOptions kStride2 = ConvOptions::centred(3, 3, 2, 2);

std::vector<TileLayer> tile_layers() {
  return {
      {{2, 7, 12, 8}, {8, 3, 3, 8}, kStride1},
      {{1, 13, 17, 16}, {16, 3, 3, 16}, kStride1},
      {{3, 8, 12, 32}, {32, 3, 3, 32}, kStride1},
      {{2, 9, 7, 17}, {33, 3, 3, 17}, kStride1},
      {{19, 4, 3, 72}, {72, 3, 3, 72}, kStride1},
      {{2, 5, 6, 112}, {104, 3, 3, 112}, kStride2},  // gradient shared out by outputs
      {{2, 16, 24, 16}, {32, 3, 3, 16}, kStride2},
      {{1, 7, 9, 8}, {8, 3, 3, 8}, kStride2},
      {{3, 8, 12, 16}, {32, 1, 1, 16}, ConvOptions::centred(1, 1, 2, 2)},
      {{1, 6, 8, 9}, {20, 5, 3, 9}, ConvOptions::centred(5, 3, 1, 3)},
      {{1, 1, 1, 16}, {16, 3, 3, 16}, kStride1},
      {{2, 4, 8, 32}, {64, 1, 3, 32}, {1, 2, {0, 0}, {0, 1}}},
      {{1, 4, 11, 11}, {10, 3, 4, 11}, {2, 1, {1, 1}, {2, 0}}},
  };
}

/// The same numbers with 8 bits of mantissa.
Tensor in_bf16(const Tensor& t) { return t.to(DType::bf16).to(DType::f32); }

struct TileResults {
  Tensor out, dx, dweight;
};

struct TileInputs {
  Tensor x, w, bias, dout;
};

TileInputs normal_inputs(const TileLayer& l) {
  return {normal(l.x, 1).to(DType::f32), normal(l.weight, 2).to(DType::f32), normal({l.weight[0]}, 3).to(DType::f32),
          normal(conv_output_shape(l.x, l.weight, l.options), 4).to(DType::f32)};
}

TileResults by_tiles(const TileLayer& l, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) {
  const TileResults r{empty_like(dout), empty_like(x), empty_like(w)};
  const ConvExtents e(l.x, l.weight, l.options);
  const auto forward = kernels::cpu::tile_forward(e, w.data<float>());
  kernels::cpu::tile_convolve(
      {x.data<float>(), r.out.mutable_data<float>(), e.n, bias.data<float>(), dout.data<float>(), true}, *forward);
  const auto backward = kernels::cpu::tile_backward(e, w.data<float>());
  kernels::cpu::tile_convolve({dout.data<float>(), r.dx.mutable_data<float>(), e.n, nullptr, nullptr, false},
                              *backward);
  kernels::cpu::tile_weight_gradient(e, x.data<float>(), dout.data<float>(), r.dweight.mutable_data<float>());
  return r;
}

TileResults by_pairs(const TileLayer& l, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) {
  const TileResults r{empty_like(dout), empty_like(x), {}};
  const ConvExtents e(l.x, l.weight, l.options);
  kernels::cpu::bf16_pair_convolve(
      {x.data<float>(), r.out.mutable_data<float>(), e.n, bias.data<float>(), dout.data<float>(), true},
      *kernels::cpu::bf16_pair_forward(e, w));
  kernels::cpu::bf16_pair_convolve({dout.data<float>(), r.dx.mutable_data<float>(), e.n, nullptr, nullptr, false},
                                   *kernels::cpu::bf16_pair_backward(e, w));
  return r;
}

/// The product's own convolutions in double, which tests/kernels/conv_test.cpp holds against the definition.
TileResults in_double(const TileLayer& l, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) {
  const auto wide = [](const Tensor& t) { return t.to(DType::f64); };
  const TileResults r{empty_like(wide(dout)), empty_like(wide(x)), empty_like(wide(w))};
  kernels::conv_forward({.x = wide(x),
                         .weight = wide(w),
                         .bias = wide(bias),
                         .options = l.options,
                         .add = wide(dout),
                         .relu = true,
                         .out = r.out});
  kernels::conv_backward({.x = wide(x),
                          .weight = wide(w),
                          .options = l.options,
                          .dout = wide(dout),
                          .dx = r.dx,
                          .dweight = r.dweight,
                          .dbias = {}});
  return r;
}

double relative_error(const Tensor& got, const Tensor& want) {
  double largest = 1e-300;
  double difference = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    largest = std::max(largest, std::abs(want.data<double>()[i]));
    const double d = std::abs(got.data<float>()[i] - want.data<double>()[i]);
    difference = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(difference, d);
  }
  return difference / largest;
}

using Way = TileResults (*)(const TileLayer&, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout);

struct WayAndLayer {
  Way way;
  TileLayer layer;

  TileResults operator()(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) const {
    return way(layer, x, w, bias, dout);
  }
};

class Bf16Convolutions : public ::testing::TestWithParam<WayAndLayer> {};

TEST_P(Bf16Convolutions, AreExactButForTheRoundingOfTheirOperands) {
  const TileLayer& l = GetParam().layer;
  const Tensor x = in_bf16(normal(l.x, 1));
  const Tensor w = in_bf16(normal(l.weight, 2));
  const Tensor bias = normal({l.weight[0]}, 3).to(DType::f32);
  const Tensor dout = in_bf16(normal(conv_output_shape(l.x, l.weight, l.options), 4));
  const TileResults got = GetParam()(x, w, bias, dout);
  const TileResults want = in_double(l, x, w, bias, dout);
  EXPECT_LT(relative_error(got.out, want.out), 3e-6);
  EXPECT_LT(relative_error(got.dx, want.dx), 3e-6);
  if (got.dweight) {
    EXPECT_LT(relative_error(got.dweight, want.dweight), 3e-6);
  }
}

TEST_P(Bf16Convolutions, RoundOperandsToNearest) {
  const auto [x, w, bias, dout] = normal_inputs(GetParam().layer);
  const TileResults got = GetParam()(x, w, bias, dout);
  const TileResults want = GetParam()(in_bf16(x), in_bf16(w), bias, in_bf16(dout));
  EXPECT_TRUE(same_bits(got.out, GetParam()(in_bf16(x), in_bf16(w), bias, dout).out)) << "which adds dout as it is";
  EXPECT_TRUE(same_bits(got.dx, want.dx));
  EXPECT_TRUE(!got.dweight || same_bits(got.dweight, want.dweight));
}

TEST_P(Bf16Convolutions, GiveTheSameBitsOnAnyNumberOfThreadsAndInAnyCompany) {
  const TileLayer& l = GetParam().layer;
  const auto [x, w, bias, dout] = normal_inputs(l);
  const int before = num_threads();
  std::vector<TileResults> results;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(GetParam()(x, w, bias, dout));
  }
  set_num_threads(before);
  for (const TileResults& r : results) {
    EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.dx, results[0].dx));
    EXPECT_TRUE(!r.dweight || same_bits(r.dweight, results[0].dweight));
  }
  const TileLayer last{{1, l.x[1], l.x[2], l.x[3]}, l.weight, l.options};
  const TileResults alone = GetParam().way(last, x.slice(l.x[0] - 1, l.x[0]), w, bias, dout.slice(l.x[0] - 1, l.x[0]));
  EXPECT_TRUE(same_bits(alone.out, results[0].out.slice(l.x[0] - 1, l.x[0])));
}

std::vector<WayAndLayer> layers_for(Way way, bool (*pay)(const ConvExtents&)) {
  std::vector<WayAndLayer> all;
  for (const TileLayer& layer : tile_layers()) {
    if (pay(ConvExtents(layer.x, layer.weight, layer.options))) {
      all.push_back({way, layer});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Tiles, Bf16Convolutions, ::testing::ValuesIn(layers_for(by_tiles, kernels::cpu::tiles_pay)));
INSTANTIATE_TEST_SUITE_P(Pairs, Bf16Convolutions,
                         ::testing::ValuesIn(layers_for(by_pairs, kernels::cpu::bf16_pairs_pay)));

TEST(ConvTilesValues, LetNaNThroughAndOnlyWithinTheSample) {
  const TileLayer l{{3, 8, 8, 16}, {16, 3, 3, 16}, kStride1};
  const Tensor x = normal(l.x, 1).to(DType::f32);
  const Tensor w = normal(l.weight, 2).to(DType::f32);
  const Tensor bias = normal({16}, 3).to(DType::f32);
  const Tensor dout = normal(l.x, 4).to(DType::f32);
  x.mutable_data<float>()[(64 + 3 * 8 + 4) * 16] = std::numeric_limits<float>::quiet_NaN();
  for (const Way way : {by_tiles, by_pairs}) {
    const TileResults r = way(l, x, w, bias, dout);
    EXPECT_TRUE(std::isnan(r.out.data<float>()[(64 + 4 * 8 + 5) * 16 + 15]));
    EXPECT_TRUE(!r.dweight || std::isnan(r.dweight.data<float>()[0]));
    for (std::int64_t i = 0; i < 64 * 16; ++i) {
      ASSERT_FALSE(std::isnan(r.out.data<float>()[i])) << i;
      ASSERT_FALSE(std::isnan(r.out.data<float>()[2 * 64 * 16 + i])) << i;
    }
  }
}

TEST(ConvTilesValues, Bf16KeepsNaNAndInfinityAndRoundsTiesToEven) {
  using kernels::cpu::rounded_bf16;
  EXPECT_EQ(rounded_bf16(1.0F), 0x3f80);
  EXPECT_EQ(rounded_bf16(1.0F + 0x1p-8F), 0x3f80);
  EXPECT_EQ(rounded_bf16(1.0F + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(rounded_bf16(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_EQ(rounded_bf16(std::numeric_limits<float>::quiet_NaN()) & 0x7f80, 0x7f80);
  EXPECT_NE(rounded_bf16(std::numeric_limits<float>::quiet_NaN()) & 0x7f, 0);
}

TEST(ConvTilesValues, ConvolutionsTakeThemOnlyWhereAllowed) {
  const TileLayer l{{2, 8, 12, 32}, {32, 3, 3, 32}, kStride1};
  const Tensor x = normal(l.x, 1).to(DType::f32);
  const Tensor w = normal(l.weight, 2).to(DType::f32);
  const auto convolve = [&] {
    const Tensor out = empty_like(x);
    kernels::conv_forward({.x = x, .weight = w, .bias = {}, .options = l.options, .add = {}, .out = out});
    return out;
  };
  const Tensor full = convolve();
  Tensor rounded;
  {
    const kernels::Bf16ProductsScope allowed(true);
    rounded = convolve();
  }
  EXPECT_FALSE(kernels::bf16_products_allowed());
  EXPECT_EQ(same_bits(full, rounded), !kernels::has_bf16_products());
  EXPECT_LT(relative_error(rounded, full.to(DType::f64)), 0.01);
  EXPECT_TRUE(same_bits(full, convolve()));
}

}  // namespace
}  // namespace earmark
