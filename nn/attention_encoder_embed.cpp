// Inference of the attention encoder: batch normalisation folded into the convolutions, residual sum and ReLU fused
// into them, nothing recorded.
#include <utility>
#include <vector>

#include "kernels/batch_norm.h"
#include "kernels/permute.h"
#include "kernels/spectral_temporal_attention.h"
#include "kernels/trace.h"
#include "nn/attention_encoder.h"
#include "nn/embed_in_groups.h"

namespace earmark::nn {

struct AttentionEncoder::FoldedConv {
  Tensor weight;  // (O, Kf, Kt, I), or none: this convolution does not exist
  Tensor bias;    // (O)
  ConvOptions options;
  std::shared_ptr<const kernels::PreparedConv> prepared;

  /// Makes the weights ready for inputs like `x`; returns the shape of the result.
  Shape prepare(const Shape& x) {
    prepared = kernels::prepare_conv(weight, x, options);
    return conv_output_shape(x, weight.shape(), options);
  }

  /// [ReLU](conv(x) + bias [+ add])
  Tensor operator()(const Tensor& x, const Tensor& add, bool relu) const {
    const Tensor out(conv_output_shape(x.shape(), weight.shape(), options), x.dtype(), x.device());
    kernels::conv_forward({.x = x,
                           .weight = weight,
                           .bias = bias,
                           .options = options,
                           .add = add,
                           .relu = relu,
                           .out = out,
                           .prepared = prepared});
    return out;
  }
};

struct AttentionEncoder::Folded {
  FoldedConv front;
  struct Block {
    FoldedConv first;
    FoldedConv second;
    FoldedConv identity;
  };
  std::array<Block, kBlocks> blocks;
};

AttentionEncoder::FoldedConv AttentionEncoder::fold(const ConvNorm& layer) {
  FoldedConv out{empty_like(layer.weight.value()), empty_like(layer.bias.value()), layer.options, {}};
  kernels::fold_batch_norm({.weight = layer.weight.value(),
                            .bias = layer.bias.value(),
                            .gamma = layer.gamma.value(),
                            .beta = layer.beta.value(),
                            .running_mean = layer.running.mean,
                            .running_variance = layer.running.variance,
                            .folded_weight = out.weight,
                            .folded_bias = out.bias});
  return out;
}

std::shared_ptr<const AttentionEncoder::Folded> AttentionEncoder::folded() const {
  const std::lock_guard<std::mutex> lock(folded_mutex_);
  if (folded_ && folded_version_ == weights_version()) {
    return folded_;
  }
  const auto fresh = std::make_shared<Folded>();
  folded_version_ = weights_version();
  fresh->front = fold(front_);
  Shape x = fresh->front.prepare({1, options().bands, options().frames, 1});
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& from = blocks_.at(i);
    Folded::Block& to = fresh->blocks.at(i);
    if (from.identity_weight) {
      to.identity = {from.identity_weight.value(), from.identity_bias.value(), from.identity_options, {}};
      to.identity.prepare(x);
    }
    to.first = fold(from.first);
    to.second = fold(from.second);
    x = to.second.prepare(to.first.prepare(x));
  }
  folded_ = fresh;
  return folded_;
}

void AttentionEncoder::attend(const std::optional<Gate>& gate, const Tensor& y, std::vector<AttentionMaps>* maps) {
  if (gate) {
    const auto softmax_over = [&](int axis) {
      return Tensor({y.dim(0), y.dim(axis), y.dim(3)}, y.dtype(), y.device());
    };
    const kernels::AttentionForward attention{.x = y,
                                              .w_spectral = gate->spectral.value(),
                                              .w_temporal = gate->temporal.value(),
                                              .tanh_logits = gate->options.tanh_logits,
                                              .scale = gate->options.scale,
                                              .out = y,
                                              .spectral = softmax_over(1),
                                              .temporal = softmax_over(2)};
    kernels::spectral_temporal_attention_forward(attention);
    if (maps != nullptr) {
      maps->push_back({gate->name, attention.spectral, attention.temporal, attention.scale});
    }
  }
}

Tensor AttentionEncoder::embed_block(const Folded& folded, std::size_t index, const Tensor& x,
                                     std::vector<AttentionMaps>* maps) const {
  const TraceRange range(block_name(index));
  const Block& layers = blocks_.at(index);
  const Folded::Block& convs = folded.blocks.at(index);
  const Tensor inner = convs.first(x, {}, true);
  attend(layers.attention1, inner, maps);
  const Tensor identity = convs.identity.weight ? convs.identity(x, {}, false) : x;
  const Tensor out = convs.second(inner, identity, true);
  attend(layers.attention2, out, maps);
  return out;
}

Tensor AttentionEncoder::embed_first_blocks(const Folded& folded, const Tensor& x) const {
  Tensor y = folded.front(x, {}, true);
  for (std::size_t i = 0; i < kSingleBlocks; ++i) {
    y = embed_block(folded, i, y);
  }
  return y;
}

Tensor AttentionEncoder::embed_last_blocks(const Folded& folded, Tensor y) const {
  for (std::size_t i = kSingleBlocks; i < blocks_.size(); ++i) {
    y = embed_block(folded, i, y);
  }
  const Tensor flat({y.dim(0), y.dim(3), y.dim(1), y.dim(2)}, y.dtype(), y.device());
  kernels::permute(y, std::array{0, 3, 1, 2}, flat);
  return whitened(head_.encode(flat));
}

Tensor AttentionEncoder::embed(const Tensor& x) const {
  check_input(x);
  const std::shared_ptr<const Folded> layers = folded();
  return embed_in_groups(x, options().embedding,
                         {.first = [&](const Tensor& samples) { return embed_first_blocks(*layers, samples); },
                          .last = [&](Tensor samples) { return embed_last_blocks(*layers, std::move(samples)); }});
}

std::vector<AttentionMaps> AttentionEncoder::attention_maps(const Tensor& x) const {
  check_input(x);
  const std::shared_ptr<const Folded> layers = folded();
  std::vector<AttentionMaps> maps;
  Tensor y = layers->front(x, {}, true);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    y = embed_block(*layers, i, y, &maps);
  }
  return maps;
}

}  // namespace earmark::nn
