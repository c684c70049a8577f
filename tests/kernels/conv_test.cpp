#include "kernels/conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::normal;
using testing::same_bits;

struct Layer {
  Shape x;
  Shape weight;
  ConvOptions options;
};

/// Calls f(output index, input index or -1, weight index) for every product of the definition.
template <class F>
void for_each_product(const Layer& l, const F& f) {
  const Shape out = conv_output_shape(l.x, l.weight, l.options);
  const auto inside = [](std::int64_t i, std::int64_t extent) { return i >= 0 && i < extent; };
  for (std::int64_t p = 0; p < out[0] * out[1] * out[2]; ++p) {
    const std::int64_t t = p % out[2];
    const std::int64_t row = p / out[2] % out[1];
    const std::int64_t n = p / out[2] / out[1];
    for (std::int64_t o = 0; o < out[3]; ++o) {
      for (std::int64_t k = 0; k < l.weight[1] * l.weight[2]; ++k) {
        const std::int64_t f_in = row * l.options.stride_f + k / l.weight[2] - l.options.pad_f.before;
        const std::int64_t t_in = t * l.options.stride_t + k % l.weight[2] - l.options.pad_t.before;
        if (inside(f_in, l.x[1]) && inside(t_in, l.x[2])) {
          for (std::int64_t i = 0; i < l.x[3]; ++i) {
            f(p * out[3] + o, ((n * l.x[1] + f_in) * l.x[2] + t_in) * l.x[3] + i,
              (o * l.weight[1] * l.weight[2] + k) * l.weight[3] + i);
          }
        }
      }
    }
  }
}

struct ConvResults {
  Tensor out, dx, dweight, dbias;
};

/// The definition, in double.
ConvResults reference_conv(const Layer& l, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) {
  const ConvResults r{Tensor::zeros(dout.shape(), DType::f64), Tensor::zeros(l.x, DType::f64),
                      Tensor::zeros(l.weight, DType::f64), Tensor::zeros({l.weight[0]}, DType::f64)};
  for_each_product(l, [&](std::int64_t o, std::int64_t i, std::int64_t k) {
    r.out.mutable_data<double>()[o] += x.data<double>()[i] * w.data<double>()[k];
    r.dx.mutable_data<double>()[i] += dout.data<double>()[o] * w.data<double>()[k];
    r.dweight.mutable_data<double>()[k] += dout.data<double>()[o] * x.data<double>()[i];
  });
  for (std::int64_t i = 0; i < dout.numel(); ++i) {
    r.out.mutable_data<double>()[i] += bias.data<double>()[i % l.weight[0]];
    r.dbias.mutable_data<double>()[i % l.weight[0]] += dout.data<double>()[i];
  }
  return r;
}

ConvResults compute(const Layer& l, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& dout) {
  const ConvResults r{empty_like(dout), empty_like(x), empty_like(w), empty_like(bias)};
  kernels::conv_forward({.x = x, .weight = w, .bias = bias, .options = l.options, .add = {}, .out = r.out});
  kernels::conv_backward(
      {.x = x, .weight = w, .options = l.options, .dout = dout, .dx = r.dx, .dweight = r.dweight, .dbias = r.dbias});
  return r;
}

/// The largest difference over the largest magnitude.
double error_of(const Tensor& got, const Tensor& want) {
  const Tensor a = got.to(DType::f64);
  double largest = 1e-300;
  double difference = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    largest = std::max(largest, std::abs(want.data<double>()[i]));
    const double d = std::abs(a.data<double>()[i] - want.data<double>()[i]);
    difference = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(difference, d);
  }
  return difference / largest;
}

const ConvOptions kSame1 = ConvOptions::centred(3, 3, 1, 1);
const ConvOptions kSame2 = ConvOptions::centred(3, 3, 2, 2);

std::vector<Layer> layers() {
  return {
      {{2, 20, 33, 1}, {16, 3, 3, 1}, kSame1},
      {{1, 13, 17, 16}, {16, 3, 3, 16}, kSame1},
      {{3, 8, 12, 32}, {32, 3, 3, 32}, kSame1},  // Winograd
      {{2, 9, 7, 17}, {33, 3, 3, 17}, kSame1},
      {{2, 9, 7, 33}, {49, 3, 3, 33}, kSame1},     // Winograd, half a tile at each edge
      {{3, 4, 6, 72}, {72, 3, 3, 72}, kSame1},     // Winograd, gradient shared out by points
      {{1, 4, 4, 520}, {32, 3, 3, 520}, kSame1},   // Winograd, deep
      {{13, 2, 3, 160}, {48, 3, 3, 160}, kSame1},  // several chunks of depth
      {{2, 5, 6, 112}, {104, 3, 3, 112}, kSame2},  // gradient shared out by outputs
      {{2, 16, 24, 16}, {32, 3, 3, 16}, kSame2},
      {{1, 7, 9, 8}, {8, 3, 3, 8}, kSame2},
      {{3, 8, 12, 16}, {32, 1, 1, 16}, ConvOptions::centred(1, 1, 2, 2)},
      {{1, 6, 8, 3}, {20, 5, 3, 3}, ConvOptions::centred(5, 3, 1, 3)},
      {{1, 1, 1, 16}, {16, 3, 3, 16}, kSame1},
      {{2, 4, 8, 32}, {64, 1, 3, 32}, {1, 2, {0, 0}, {0, 1}}},
      {{2, 7, 12, 8}, {8, 3, 3, 8}, kSame1},  // outputs in pairs
      {{2, 5, 10, 1}, {4, 3, 3, 1}, kSame1},
      {{3, 6, 16, 3}, {2, 5, 3, 3}, ConvOptions::centred(5, 3, 1, 2)},
      {{1, 4, 11, 3}, {3, 3, 4, 3}, {2, 1, {1, 1}, {2, 0}}},
  };
}

class ConvLayers : public ::testing::TestWithParam<Layer> {};

TEST_P(ConvLayers, MatchTheDefinitionInDoubleAndInFloat) {
  const Layer& l = GetParam();
  const Shape out = conv_output_shape(l.x, l.weight, l.options);
  const Tensor x = normal(l.x, 1);
  const Tensor w = normal(l.weight, 2);
  const Tensor bias = normal({l.weight[0]}, 3);
  const Tensor dout = normal(out, 4);
  const ConvResults want = reference_conv(l, x, w, bias, dout);
  for (const auto& [dtype, limit] : {std::pair(DType::f64, 1e-13), std::pair(DType::f32, 3e-6)}) {
    const ConvResults got = compute(l, x.to(dtype), w.to(dtype), bias.to(dtype), dout.to(dtype));
    EXPECT_LT(error_of(got.out, want.out), limit) << name_of(dtype);
    EXPECT_LT(error_of(got.dx, want.dx), limit) << name_of(dtype);
    EXPECT_LT(error_of(got.dweight, want.dweight), limit) << name_of(dtype);
    EXPECT_LT(error_of(got.dbias, want.dbias), limit) << name_of(dtype);
  }
}

TEST_P(ConvLayers, GiveTheSameBitsOnAnyNumberOfThreads) {
  const Layer& l = GetParam();
  const Tensor x = normal(l.x, 1).to(DType::f32);
  const Tensor w = normal(l.weight, 2).to(DType::f32);
  const Tensor bias = normal({l.weight[0]}, 3).to(DType::f32);
  const Tensor dout = normal(conv_output_shape(l.x, l.weight, l.options), 4).to(DType::f32);
  std::vector<ConvResults> results;
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    results.push_back(compute(l, x, w, bias, dout));
  }
  set_num_threads(before);
  for (const ConvResults& r : results) {
    EXPECT_TRUE(same_bits(r.out, results[0].out) && same_bits(r.dx, results[0].dx) &&
                same_bits(r.dweight, results[0].dweight) && same_bits(r.dbias, results[0].dbias));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ConvLayers, ::testing::ValuesIn(layers()));

class ConvChannels : public ::testing::TestWithParam<int> {};

TEST_P(ConvChannels, AddTheResidualThenRectify) {
  const int channels = GetParam();
  const Layer l{{2, 4, 6, channels}, {channels, 3, 3, channels}, kSame1};
  const Tensor x = normal(l.x, 1);
  const Tensor w = normal(l.weight, 2);
  const Tensor residual = normal(l.x, 3);
  const Tensor plain = empty_like(x);
  const Tensor fused = empty_like(x);
  kernels::conv_forward({.x = x, .weight = w, .bias = {}, .options = l.options, .add = {}, .out = plain});
  kernels::conv_forward(
      {.x = x, .weight = w, .bias = {}, .options = l.options, .add = residual, .relu = true, .out = fused});
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    EXPECT_NEAR(fused.data<double>()[i], std::max(0.0, plain.data<double>()[i] + residual.data<double>()[i]), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(PairsAndWholeVectors, ConvChannels, ::testing::Values(2, 4, 16));

TEST(Conv, LetsNaNThroughAndOnlyWhereItReaches) {
  const Layer l{{2, 8, 8, 16}, {16, 3, 3, 16}, kSame1};
  const Tensor x = normal(l.x, 1).to(DType::f32);
  const Tensor w = normal(l.weight, 2).to(DType::f32);
  const Tensor out = empty_like(x);
  x.mutable_data<float>()[(3 * 8 + 4) * 16] = std::numeric_limits<float>::quiet_NaN();
  kernels::conv_forward({.x = x, .weight = w, .bias = {}, .options = l.options, .add = {}, .relu = true, .out = out});
  EXPECT_TRUE(std::isnan(out.data<float>()[(3 * 8 + 4) * 16 + 5]));
  EXPECT_TRUE(std::isnan(out.data<float>()[(4 * 8 + 5) * 16 + 15]));
  EXPECT_FALSE(std::isnan(out.data<float>()[(8 * 8 + 3 * 8 + 4) * 16])) << "the other sample";
}

TEST(Conv, RefusesShapesThatDoNotFit) {
  const Tensor x({1, 4, 4, 3});
  const Tensor out({1, 4, 4, 2});
  const auto run = [&](const Tensor& w, const ConvOptions& options) {
    kernels::conv_forward({.x = x, .weight = w, .bias = {}, .options = options, .add = {}, .out = out});
  };
  EXPECT_THROW(run(Tensor({2, 3, 3, 4}), kSame1), Error);  // channels
  EXPECT_THROW(run(Tensor({3, 3, 3, 3}), kSame1), Error);  // out has two channels
  EXPECT_THROW(run(Tensor({2, 3, 3, 3}), kSame2), Error);  // out is not halved
  EXPECT_THROW(run(Tensor({2, 7, 3, 3}), ConvOptions{}), Error);
  EXPECT_THROW(run(Tensor({2, 3, 3, 3}, DType::f64), kSame1), Error);
}

TEST(ConvOptions, SamePaddingPutsTheOddZeroBehind) {
  const ConvOptions even = ConvOptions::same({1, 8, 8, 1}, {1, 3, 1, 1}, 2, 2);
  EXPECT_EQ(even.pad_f, (Padding{0, 1}));
  EXPECT_EQ(even.pad_t, (Padding{0, 0}));
  EXPECT_EQ(conv_output_shape({1, 7, 8, 1}, {1, 3, 1, 1}, ConvOptions::same({1, 7, 8, 1}, {1, 3, 1, 1}, 2, 2)),
            (Shape{1, 4, 4, 1}));
}

}  // namespace
}  // namespace earmark
