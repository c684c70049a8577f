// Convolution, batch and layer normalisation and attention.
#include "autograd/batch_norm.h"
#include "autograd/conv.h"
#include "autograd/functions.h"
#include "autograd/layer_norm.h"
#include "autograd/normalized_attention.h"
#include "autograd/residual.h"
#include "autograd/spectral_temporal_attention.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using Inputs = std::span<const Variable>;

/// A convolution case with odd kernels and equal padding.
OpCase conv_case(const std::string& name, const Shape& x, const Shape& weight, int stride_f, int stride_t,
                 std::vector<Shape> large = {}) {
  const ConvOptions options =
      ConvOptions::centred(static_cast<int>(weight[1]), static_cast<int>(weight[2]), stride_f, stride_t);
  return {name, {x, weight, {weight[0]}}, [options](Inputs v) { return conv2d(v[0], v[1], v[2], options); },
          {},   std::move(large),         {0, 1, 2}};
}

/// "Same" padding, no bias.
OpCase same_case(const std::string& name, const Shape& x, const Shape& weight, int stride_f, int stride_t,
                 std::vector<Shape> large = {}) {
  return {name,
          {x, weight},
          [stride_f, stride_t](Inputs v) {
            const ConvOptions options = ConvOptions::same(v[0].shape(), v[1].shape(), stride_f, stride_t);
            return conv2d(v[0], v[1], {}, options);
          },
          {},
          std::move(large),
          {0, 1}};
}

std::vector<OpCase> conv_cases() {
  return {
      conv_case("conv/one_channel_in", {2, 5, 7, 1}, {16, 3, 3, 1}, 1, 1, {{64, 64, 96, 1}, {16, 3, 3, 1}, {16}}),
      conv_case("conv/three_channels", {1, 4, 5, 3}, {3, 3, 3, 3}, 1, 1),
      conv_case("conv/sixteen", {2, 4, 6, 16}, {16, 3, 3, 16}, 1, 1, {{64, 64, 96, 16}, {16, 3, 3, 16}, {16}}),
      conv_case("conv/odd_channels", {1, 3, 5, 17}, {33, 3, 3, 17}, 1, 1),
      conv_case("conv/stride_two", {2, 6, 8, 3}, {17, 3, 3, 3}, 2, 2, {{64, 64, 96, 16}, {32, 3, 3, 16}, {32}}),
      conv_case("conv/stride_two_odd", {1, 5, 7, 4}, {5, 3, 3, 4}, 2, 2),
      conv_case("conv/pointwise_stride_two", {2, 4, 6, 5}, {19, 1, 1, 5}, 2, 2,
                {{64, 64, 96, 16}, {32, 1, 1, 16}, {32}}),
      conv_case("conv/two_by_three", {3, 2, 3, 32}, {32, 3, 3, 32}, 1, 1, {{64, 2, 3, 512}, {512, 3, 3, 512}, {512}}),
      conv_case("conv/one_pixel", {2, 1, 1, 3}, {2, 3, 3, 3}, 1, 1),
      conv_case("conv/one_row", {1, 1, 9, 2}, {3, 3, 3, 2}, 1, 2),
      conv_case("conv/five_by_five", {1, 6, 7, 2}, {3, 5, 5, 2}, 1, 1),
      same_case("conv/same_along_time", {2, 4, 7, 3}, {4, 1, 3, 3}, 1, 2),
      same_case("conv/same_along_time_even", {1, 3, 8, 3}, {4, 1, 3, 3}, 1, 2),
      same_case("conv/same_along_frequency", {1, 8, 3, 2}, {5, 3, 1, 2}, 2, 1),
      same_case("conv/along_time_wide", {2, 3, 9, 16}, {33, 1, 3, 16}, 1, 2, {{64, 64, 16, 32}, {32, 1, 3, 32}}),
      same_case("conv/along_time_unstrided", {2, 3, 6, 17}, {16, 1, 3, 17}, 1, 1),
      same_case("conv/along_time_from_one_channel", {2, 5, 8, 1}, {17, 1, 3, 1}, 1, 2),
      same_case("conv/along_time_of_one_frame", {2, 3, 1, 5}, {4, 1, 3, 5}, 1, 2),
      same_case("conv/along_frequency_wide", {2, 9, 2, 32}, {17, 3, 1, 32}, 2, 1, {{64, 128, 16, 32}, {32, 3, 1, 32}}),
      same_case("conv/along_frequency_of_one_band", {3, 1, 4, 6}, {5, 3, 1, 6}, 2, 1),
      {"conv/no_padding", {{1, 5, 6, 2}, {3, 3, 2, 2}}, [](Inputs v) { return conv2d(v[0], v[1], {}, {}); }},
      {"conv/input_twice",
       {{1, 4, 4, 2}, {2, 3, 3, 2}},
       [](Inputs v) {
         const Variable once = conv2d(v[0], v[1], {}, ConvOptions::centred(3, 3, 1, 1));
         return add(conv2d(once, v[1], {}, ConvOptions::centred(3, 3, 1, 1)), v[0]);
       },
       {},
       {},
       {0, 1}},
  };
}

/// Running statistics that no case reads again.
RunningStatistics fresh_running(const Variable& gamma) {
  const Tensor variance = empty_like(gamma.value());
  variance.fill(1.5);
  const Tensor mean = empty_like(gamma.value());
  mean.fill(0.25);
  return {mean, variance};
}

OpCase batch_norm_case(const std::string& name, const Shape& x, BatchNormOptions options,
                       std::vector<Shape> large = {}) {
  const Shape channels{x[-1]};
  return {name,
          {x, channels, channels},
          [options](Inputs v) { return batch_norm(v[0], v[1], v[2], fresh_running(v[1]), options); },
          {Domain::normal, Domain::positive, Domain::normal},
          std::move(large),
          {0}};
}

std::vector<OpCase> batch_norm_cases() {
  return {
      batch_norm_case("batch_norm/odd", {3, 2, 5, 17}, {}, {{64, 64, 96, 16}, {16}, {16}}),
      batch_norm_case("batch_norm/relu", {3, 2, 5, 16}, {.relu = true}, {{64, 64, 96, 16}, {16}, {16}}),
      batch_norm_case("batch_norm/inference", {2, 2, 3, 3}, {.training = false}),
      batch_norm_case("batch_norm/inference_relu", {2, 2, 3, 33}, {.training = false, .relu = true}),
      batch_norm_case("batch_norm/two_rows", {2, 5}, {}),
      batch_norm_case("batch_norm/one_channel", {4, 7, 1}, {}),
      batch_norm_case("batch_norm/several_blocks", {70000, 1}, {.relu = true}),
  };
}

OpCase layer_norm_case(const std::string& name, const Shape& x, LayerNormOptions options,
                       std::vector<Domain> domains = {}, std::vector<Shape> large = {}) {
  const Shape sample(x.dims().subspan(1));
  return {name,
          {x, sample, sample},
          [options](Inputs v) { return layer_norm(v[0], v[1], v[2], options); },
          std::move(domains),
          std::move(large),
          {0}};
}

std::vector<OpCase> layer_norm_cases() {
  const std::vector<Shape> large{{64, 128, 16, 32}, {128, 16, 32}, {128, 16, 32}};
  const std::vector<Domain> no_kink{Domain::away_from_zero, Domain::positive, Domain::normal};
  return {
      layer_norm_case("layer_norm/odd", {3, 2, 5, 7}, {}, {Domain::normal, Domain::positive}, large),
      layer_norm_case("layer_norm/elu", {3, 2, 5, 7}, {.elu = true}, no_kink, large),
      layer_norm_case("layer_norm/elu_even", {5, 4, 3, 16}, {.elu = true}, no_kink),
      layer_norm_case("layer_norm/one_sample", {1, 4, 2, 8}, {.elu = true}, no_kink),
      layer_norm_case("layer_norm/two_elements", {4, 2}, {.epsilon = 0.1}),
      layer_norm_case("layer_norm/one_element", {3, 1}, {.elu = true}, no_kink),
      layer_norm_case("layer_norm/ties", {2, 3, 2, 2}, {.epsilon = 1e-5}, {Domain::ties}),
      layer_norm_case("layer_norm/many_samples", {70, 9}, {.elu = true}, no_kink),
      layer_norm_case("layer_norm/several_blocks", {2, 3, 2100}, {.elu = true}, no_kink),
  };
}

OpCase attention_case(const std::string& name, const Shape& x, AttentionOptions options,
                      std::vector<Domain> domains = {}, std::vector<Shape> large = {}) {
  return {name,
          {x, {x[3], x[2]}, {x[3], x[1]}},
          [options](Inputs v) { return spectral_temporal_attention(v[0], v[1], v[2], options); },
          std::move(domains),
          std::move(large),
          {0}};
}

std::vector<OpCase> attention_cases() {
  const std::vector<Domain> zero_weights{Domain::normal, Domain::zeros, Domain::zeros};
  return {
      attention_case("attention/tanh", {2, 5, 7, 17}, {true, 35}, {}, {{64, 64, 96, 16}, {16, 96}, {16, 64}}),
      attention_case("attention/plain", {2, 5, 7, 3}, {false, 10}),
      attention_case("attention/one_sample", {1, 6, 5, 24}, {true, 30}),
      attention_case("attention/zero_weights", {1, 4, 6, 16}, {true, 24}, zero_weights),
      attention_case("attention/one_by_one", {3, 1, 1, 2}, {true, 100}),
      attention_case("attention/one_row", {2, 1, 5, 1}, {false, 1}),
      attention_case("attention/ties", {5, 4, 3, 33}, {true, 100}, {Domain::ties, Domain::ties, Domain::ties}),
  };
}

/// x, gamma, beta, both attention weights and, where asked, the residual.
OpCase fused_case(const std::string& name, const Shape& x, AttentionOptions options, bool residual,
                  std::vector<Shape> large = {}) {
  std::vector<Shape> shapes{x, {x[3]}, {x[3]}, {x[3], x[2]}, {x[3], x[1]}};
  if (residual) {
    shapes.push_back(x);
  }
  return {name,
          shapes,
          [options](Inputs v) {
            const Variable added = v.size() == 6 ? v[5] : Variable();
            return normalized_attention(v[0], v[1], v[2], added, fresh_running(v[1]), v[3], v[4], options);
          },
          {Domain::normal, Domain::positive},
          std::move(large),
          residual ? std::vector<std::size_t>{0, 5} : std::vector<std::size_t>{0}};
}

std::vector<OpCase> fused_cases() {
  return {
      fused_case("normalized_attention/odd", {2, 5, 7, 17}, {true, 35}, false,
                 {{64, 64, 96, 16}, {16}, {16}, {16, 96}, {16, 64}}),
      fused_case("normalized_attention/residual", {3, 4, 6, 16}, {true, 24}, true,
                 {{64, 64, 96, 16}, {16}, {16}, {16, 96}, {16, 64}, {64, 64, 96, 16}}),
      fused_case("normalized_attention/plain", {6, 3, 5, 3}, {false, 15}, true),
      fused_case("normalized_attention/one_row", {2, 1, 4, 33}, {true, 4}, false),
      fused_case("normalized_attention/one_sample", {1, 5, 6, 24}, {true, 30}, true),
  };
}

std::vector<OpCase> residual_cases() {
  return {
      {"residual_relu/odd",
       {{3, 7}, {3, 7}},
       [](Inputs v) { return residual_relu(v[0], v[1]); },
       {},
       {{64, 32, 48, 32}, {64, 32, 48, 32}},
       {0, 1}},
      {"residual_relu/same_twice",
       {{4, 5}},
       [](Inputs v) { return residual_relu(v[0], v[0]); },
       {Domain::away_from_zero},
       {},
       {0}},
  };
}

}  // namespace

std::vector<OpCase> convnet_op_cases() {
  std::vector<OpCase> all;
  for (const std::vector<OpCase>& part :
       {conv_cases(), batch_norm_cases(), layer_norm_cases(), attention_cases(), fused_cases(), residual_cases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace earmark::testing
