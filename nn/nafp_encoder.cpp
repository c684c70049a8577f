#include "nn/nafp_encoder.h"

#include <cmath>

#include "autograd/functions.h"
#include "autograd/layer_norm.h"
#include "autograd/layer_range.h"
#include "nn/initialise.h"

namespace earmark::nn {

struct NafpEncoder::Initialiser {
  std::uint64_t seed;
  DType dtype;

  /// Glorot's uniform distribution.
  Tensor weight(const Shape& shape, const std::string& name, std::int64_t fan_in, std::int64_t fan_out) const {
    Tensor tensor(shape, dtype);
    fill_uniform(tensor, std::sqrt(6.0 / static_cast<double>(fan_in + fan_out)), seed, name);
    return tensor;
  }
  Tensor zeros(const Shape& shape) const { return Tensor::zeros(shape, dtype); }
};

NafpEncoder::NafpEncoder(const EncoderOptions& encoder_options, std::uint64_t seed, DType dtype)
    : Encoder(encoder_options) {
  const Initialiser init{seed, dtype};
  Shape x{1, encoder_options.bands, encoder_options.frames, 1};
  for (int index = 0; index < kBlocks; ++index) {
    const std::string name = "block" + std::to_string(index + 1);
    const std::int64_t channels = std::int64_t{encoder_options.width} * (1 << (index / 2));
    const int stride_t = index == 4 || index == 6 ? 1 : 2;
    Block& block = blocks_.at(static_cast<std::size_t>(index));
    block.along_time = make_layer(init, name, "1", x, {channels, 1, 3, x[3]}, 1, stride_t);
    block.along_frequency = make_layer(init, name, "2", x, {channels, 3, 1, channels}, 2, 1);
  }
  make_head(init);
  add_whitening();
}

NafpEncoder::Layer NafpEncoder::make_layer(const Initialiser& init, const std::string& name, const std::string& number,
                                           Shape& x, const Shape& weight, int stride_f, int stride_t) {
  constexpr std::int64_t kTaps = 3;
  const std::string conv = name + ".conv" + number;
  const std::string norm = name + ".norm" + number;
  const std::string full = conv + ".weight";
  Layer made;
  made.options = ConvOptions::same(x, weight, stride_f, stride_t);
  made.weight = add_parameter(full, init.weight(weight, full, kTaps * weight[3], kTaps * weight[0]));
  made.bias = add_parameter(conv + ".bias", init.zeros({weight[0]}));
  x = conv_output_shape(x, weight, made.options);
  const Shape sample(x.dims().subspan(1));
  made.gamma = add_parameter(norm + ".weight", Tensor::full(sample, 1, init.dtype));
  made.beta = add_parameter(norm + ".bias", init.zeros(sample));
  return made;
}

void NafpEncoder::make_head(const Initialiser& init) {
  const std::int64_t groups = options().embedding;
  const std::int64_t hidden = options().head_hidden;
  const std::int64_t inputs = flattened_size(options()) / groups;
  // A group's linear layers are layers of their own to LAMB, as they are in the authors' code.
  const auto weight = [&](const std::string& name, std::int64_t outputs, std::int64_t from) {
    return add_parameter(name, init.weight({groups, outputs, from}, name, from, outputs), groups);
  };
  head_.hidden_weight = weight("head.hidden.weight", hidden, inputs);
  head_.hidden_bias = add_parameter("head.hidden.bias", init.zeros({groups, hidden}), groups);
  head_.output_weight = weight("head.output.weight", 1, hidden);
  head_.output_bias = add_parameter("head.output.bias", init.zeros({groups, 1}), groups);
}

const char* NafpEncoder::block_name(std::size_t index) {
  constexpr std::array<const char*, kBlocks> kNames{"block 1", "block 2", "block 3", "block 4",
                                                    "block 5", "block 6", "block 7", "block 8"};
  return kNames.at(index);
}

Variable NafpEncoder::layer(const Layer& parts, const Variable& x) const {
  return layer_norm(conv2d(x, stored(parts.weight), stored(parts.bias), parts.options), parts.gamma, parts.beta,
                    {.elu = true});
}

Variable NafpEncoder::forward(const Variable& x) {
  check_input(x.value());
  Variable y = stored(x);
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const LayerRange range(block_name(i));
    y = layer(blocks_.at(i).along_frequency, layer(blocks_.at(i).along_time, y));
  }
  const LayerRange range("head");
  return fingerprints_of(head_.forward(cast(y, weight_type())));
}

}  // namespace earmark::nn
