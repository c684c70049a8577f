// Inference of the attention encoder: batch normalisation folded into the convolutions, residual sum and ReLU fused
// into them, nothing recorded.
#include <algorithm>
#include <vector>

#include "kernels/batch_norm.h"
#include "kernels/grouped_linear.h"
#include "kernels/normalize.h"
#include "kernels/parallel.h"
#include "kernels/permute.h"
#include "kernels/spectral_temporal_attention.h"
#include "nn/attention_encoder.h"

namespace earmark::nn {

namespace {

/// Samples that pass through the network together: few, so that activations stay in the cache of the one thread that
/// has them.
constexpr std::int64_t kGroup = 4;

struct FoldedConv {
  Tensor weight;  // (O, Kf, Kt, I)
  Tensor bias;    // (O)
  ConvOptions options;
};

/// out = [ReLU](conv(x) + bias [+ add])
Tensor convolve(const FoldedConv& layer, const Tensor& x, const Tensor& add, bool relu) {
  const Tensor out(conv_output_shape(x.shape(), layer.weight.shape(), layer.options), x.dtype());
  kernels::conv_forward({.x = x,
                         .weight = layer.weight,
                         .bias = layer.bias,
                         .options = layer.options,
                         .add = add,
                         .relu = relu,
                         .out = out});
  return out;
}

Tensor linear(const Tensor& x, const Variable& weight, const Variable& bias, kernels::Activation activation) {
  const Tensor out({x.dim(0), x.dim(1), weight.shape()[1]}, x.dtype());
  kernels::grouped_linear({.x = x, .w = weight.value(), .b = bias.value(), .out = out, .activation = activation});
  return out;
}

}  // namespace

struct AttentionEncoder::Folded {
  FoldedConv front;
  struct Block {
    FoldedConv first;
    FoldedConv second;
  };
  std::array<Block, kBlocks> blocks;
};

std::shared_ptr<const AttentionEncoder::Folded> AttentionEncoder::folded() const {
  const std::lock_guard<std::mutex> lock(folded_mutex_);
  if (folded_ && folded_version_ == weights_version()) {
    return folded_;
  }
  const auto fold = [](const ConvNorm& layer) {
    FoldedConv out{empty_like(layer.weight.value()), empty_like(layer.bias.value()), layer.options};
    kernels::fold_batch_norm({.weight = layer.weight.value(),
                              .bias = layer.bias.value(),
                              .gamma = layer.gamma.value(),
                              .beta = layer.beta.value(),
                              .running_mean = layer.running.mean,
                              .running_variance = layer.running.variance,
                              .folded_weight = out.weight,
                              .folded_bias = out.bias});
    return out;
  };
  auto fresh = std::make_shared<Folded>();
  folded_version_ = weights_version();
  fresh->front = fold(front_);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    fresh->blocks.at(i) = {fold(blocks_.at(i).first), fold(blocks_.at(i).second)};
  }
  folded_ = fresh;
  return folded_;
}

Tensor AttentionEncoder::embed_group(const Folded& folded, const Tensor& x) const {
  const auto attend = [](const std::optional<Gate>& gate, const Tensor& y) {
    if (gate) {
      kernels::spectral_temporal_attention_forward({.x = y,
                                                    .w_spectral = gate->spectral.value(),
                                                    .w_temporal = gate->temporal.value(),
                                                    .tanh_logits = gate->options.tanh_logits,
                                                    .scale = gate->options.scale,
                                                    .out = y,
                                                    .spectral = Tensor({y.dim(0), y.dim(1), y.dim(3)}, y.dtype()),
                                                    .temporal = Tensor({y.dim(0), y.dim(2), y.dim(3)}, y.dtype())});
    }
  };
  Tensor y = convolve(folded.front, x, {}, true);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& layers = blocks_.at(i);
    const Tensor inner = convolve(folded.blocks.at(i).first, y, {}, true);
    attend(layers.attention1, inner);
    const Tensor identity =
        layers.identity_weight
            ? convolve({layers.identity_weight.value(), layers.identity_bias.value(), layers.identity_options}, y, {},
                       false)
            : y;
    y = convolve(folded.blocks.at(i).second, inner, identity, true);
    attend(layers.attention2, y);
  }
  const Tensor flat({y.dim(0), y.dim(3), y.dim(1), y.dim(2)}, y.dtype());
  kernels::permute(y, std::array{0, 3, 1, 2}, flat);
  const std::int64_t groups = options().embedding;
  const Tensor hidden = linear(flat.reshape({y.dim(0), groups, flattened_size(options()) / groups}), hidden_weight_,
                               hidden_bias_, kernels::Activation::elu);
  return linear(hidden, output_weight_, output_bias_, kernels::Activation::none).reshape({y.dim(0), groups});
}

Tensor AttentionEncoder::embed(const Tensor& x) const {
  check_input(x.shape());
  check(x.dtype() == front_.weight.value().dtype(), "encoder: segments are ", name_of(x.dtype()), ", its weights are ",
        name_of(front_.weight.value().dtype()));
  const std::shared_ptr<const Folded> layers = folded();
  const std::int64_t samples = x.dim(0);
  const Tensor out({samples, options().embedding}, x.dtype());
  parallel_ranges(samples, kGroup, [&](std::int64_t begin, std::int64_t end) {
    const Tensor rows = embed_group(*layers, x.slice(begin, end));
    kernels::l2_normalize({.x = rows, .out = out.slice(begin, end), .norm = Tensor(Shape{end - begin}, x.dtype())});
  });
  return out;
}

}  // namespace earmark::nn
