#include "nn/attention_encoder.h"

#include <cmath>

#include "autograd/functions.h"
#include "autograd/layer_range.h"
#include "autograd/normalized_attention.h"
#include "autograd/residual.h"
#include "nn/initialise.h"

namespace earmark::nn {

struct AttentionEncoder::Initialiser {
  std::uint64_t seed;
  DType dtype;
  ConvolutionInit kind;

  /// Weights with `inputs` values in each sum.
  Tensor weight(const Shape& shape, const std::string& name, std::int64_t inputs, ConvolutionInit how) const {
    Tensor tensor(shape, dtype);
    if (how == ConvolutionInit::kaiming) {
      fill_normal(tensor, std::sqrt(2.0 / static_cast<double>(inputs)), seed, name);
    } else {
      fill_uniform(tensor, 1 / std::sqrt(static_cast<double>(inputs)), seed, name);
    }
    return tensor;
  }
  Tensor bias(const Shape& shape, const std::string& name, std::int64_t inputs, ConvolutionInit how) const {
    return how == ConvolutionInit::kaiming ? Tensor::zeros(shape, dtype) : weight(shape, name, inputs, how);
  }
};

AttentionEncoder::AttentionEncoder(const EncoderOptions& encoder_options, std::uint64_t seed, DType dtype)
    : Encoder(encoder_options) {
  const Initialiser init{seed, dtype, encoder_options.convolution_init};
  front_ = make_conv_norm(init, "front.conv", "front.norm", 1, encoder_options.width, 1);
  int bands = encoder_options.bands;
  int frames = encoder_options.frames;
  for (int index = 0; index < kBlocks; ++index) {
    blocks_.at(static_cast<std::size_t>(index)) = make_block(init, index, bands, frames);
  }
  make_head(init);
  add_whitening();
}

AttentionEncoder::ConvNorm AttentionEncoder::make_conv_norm(const Initialiser& init, const std::string& conv,
                                                            const std::string& norm, int inputs, int outputs,
                                                            int stride) {
  ConvNorm layer;
  const std::int64_t fan_in = std::int64_t{9} * inputs;
  const std::string weight = conv + ".weight";
  const std::string bias = conv + ".bias";
  layer.weight = add_parameter(weight, init.weight({outputs, 3, 3, inputs}, weight, fan_in, init.kind));
  layer.bias = add_parameter(bias, init.bias({outputs}, bias, fan_in, init.kind));
  Tensor gamma(Shape{outputs}, init.dtype);
  gamma.fill(1);
  layer.gamma = add_parameter(norm + ".weight", gamma);
  layer.beta = add_parameter(norm + ".bias", Tensor::zeros({outputs}, init.dtype));
  Tensor variance(Shape{outputs}, init.dtype);
  variance.fill(1);
  layer.first_buffer = buffers().size();
  layer.running.mean = add_buffer(norm + ".running_mean", Tensor::zeros({outputs}, init.dtype));
  layer.running.variance = add_buffer(norm + ".running_variance", variance);
  layer.options = ConvOptions::centred(3, 3, stride, stride);
  return layer;
}

AttentionEncoder::Gate AttentionEncoder::make_gate(const Initialiser& init, const std::string& name, int channels,
                                                   int bands, int frames) {
  const auto weights = [&](const std::string& axis, int extent) {
    const std::string full = name + "." + axis + ".weight";
    Tensor tensor = Tensor::zeros({channels, extent}, init.dtype);
    if (options().attention_init == AttentionInit::normal) {
      fill_normal(tensor, options().attention_deviation, init.seed, full);
    }
    return add_parameter(full, tensor);
  };
  Gate gate;
  gate.name = name;
  gate.spectral = weights("spectral", frames);
  gate.temporal = weights("temporal", bands);
  gate.options.tanh_logits = options().attention_logits == AttentionLogits::tanh;
  gate.options.scale =
      options().attention_scale == AttentionScale::hundred ? 100.0 : static_cast<double>(bands) * frames;
  return gate;
}

AttentionEncoder::Block AttentionEncoder::make_block(const Initialiser& init, int index, int& bands, int& frames) {
  const std::string name = "block" + std::to_string(index + 1);
  const int stride = index == 0 ? 1 : 2;
  const int inputs = options().width * (index == 0 ? 1 : 1 << (index - 1));
  const int outputs = options().width * (1 << index);
  bands = (bands + stride - 1) / stride;
  frames = (frames + stride - 1) / stride;
  Block block;
  block.first = make_conv_norm(init, name + ".conv1", name + ".norm1", inputs, outputs, stride);
  if (options().attention == Attention::twice) {
    block.attention1 = make_gate(init, name + ".attention1", outputs, bands, frames);
  }
  block.second = make_conv_norm(init, name + ".conv2", name + ".norm2", outputs, outputs, 1);
  if (stride != 1) {
    const std::string weight = name + ".identity.weight";
    const std::string bias = name + ".identity.bias";
    block.identity_weight = add_parameter(weight, init.weight({outputs, 1, 1, inputs}, weight, inputs, init.kind));
    block.identity_bias = add_parameter(bias, init.bias({outputs}, bias, inputs, init.kind));
    block.identity_options = ConvOptions::centred(1, 1, stride, stride);
  }
  if (options().attention != Attention::none) {
    block.attention2 = make_gate(init, name + ".attention2", outputs, bands, frames);
  }
  return block;
}

void AttentionEncoder::make_head(const Initialiser& init) {
  const std::int64_t groups = options().embedding;
  const std::int64_t hidden = options().head_hidden;
  const std::int64_t inputs = flattened_size(options()) / groups;
  // Linear layers start as PyTorch's do, whatever the convolutions do.
  const auto linear = [&](const std::string& name, const Shape& weight, const Shape& bias, std::int64_t fan_in) {
    const std::string w = name + ".weight";
    const std::string b = name + ".bias";
    // Braces: their elements are evaluated in order, so the weight comes first in checkpoints too.
    return std::pair{add_parameter(w, init.weight(weight, w, fan_in, ConvolutionInit::pytorch)),
                     add_parameter(b, init.bias(bias, b, fan_in, ConvolutionInit::pytorch))};
  };
  std::tie(head_.hidden_weight, head_.hidden_bias) =
      linear("head.hidden", {groups, hidden, inputs}, {groups, hidden}, inputs);
  std::tie(head_.output_weight, head_.output_bias) = linear("head.output", {groups, 1, hidden}, {groups, 1}, hidden);
}

void AttentionEncoder::take_buffers(ConvNorm& layer) {
  layer.running = {buffers().at(layer.first_buffer).tensor, buffers().at(layer.first_buffer + 1).tensor};
}

void AttentionEncoder::buffers_moved() {
  take_buffers(front_);
  for (Block& layers : blocks_) {
    take_buffers(layers.first);
    take_buffers(layers.second);
  }
}

Variable AttentionEncoder::stage(const ConvNorm& layer, const Variable& x, const Variable& residual,
                                 const std::optional<Gate>& gate) const {
  // Normalising by the batch's own mean cancels the bias before it: its gradient is zero, so none is computed.
  const Variable bias = training() ? Variable(layer.bias.value()) : layer.bias;
  const Variable y = conv2d(x, stored(layer.weight), stored(bias), layer.options);
  if (training() && gate) {
    return normalized_attention(y, layer.gamma, layer.beta, residual, layer.running, gate->spectral, gate->temporal,
                                gate->options);
  }
  const Variable normal =
      batch_norm(y, layer.gamma, layer.beta, layer.running, {.training = training(), .relu = !residual});
  const Variable sum = residual ? residual_relu(normal, residual) : normal;
  return gate ? spectral_temporal_attention(sum, gate->spectral, gate->temporal, gate->options) : sum;
}

Variable AttentionEncoder::block(const Block& layers, const Variable& x) const {
  const Variable inner = stage(layers.first, x, {}, layers.attention1);
  const Variable identity = layers.identity_weight ? conv2d(x, stored(layers.identity_weight),
                                                            stored(layers.identity_bias), layers.identity_options)
                                                   : x;
  return stage(layers.second, inner, identity, layers.attention2);
}

const char* AttentionEncoder::block_name(std::size_t index) {
  constexpr std::array<const char*, kBlocks> kNames{"block 1", "block 2", "block 3", "block 4", "block 5", "block 6"};
  return kNames.at(index);
}

Variable AttentionEncoder::forward(const Variable& x) {
  check_input(x.value());
  if (training()) {
    weights_changed();  // The running statistics move.
  }
  Variable y = [&] {
    const LayerRange range("front");
    return stage(front_, stored(x), {}, {});
  }();
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const LayerRange range(block_name(i));
    y = block(blocks_.at(i), y);
  }
  const LayerRange range("head");
  // C, F, T order, whatever the layout of activations: checkpoints then mean what the paper's mean.
  return fingerprints_of(head_.forward(permute(cast(y, weight_type()), {0, 3, 1, 2})));
}

}  // namespace earmark::nn
