// Inference of the NAFP encoder: weights prepared once, each layer normalised where it lies, nothing recorded.
#include <utility>

#include "kernels/layer_norm.h"
#include "kernels/trace.h"
#include "nn/embed_in_groups.h"
#include "nn/nafp_encoder.h"

namespace earmark::nn {

struct NafpEncoder::Prepared {
  struct Layers {
    std::shared_ptr<const kernels::PreparedConv> along_time, along_frequency;
  };
  std::array<Layers, kBlocks> blocks;
};

std::shared_ptr<const NafpEncoder::Prepared> NafpEncoder::prepared() const {
  const std::lock_guard<std::mutex> lock(prepared_mutex_);
  if (prepared_ && prepared_version_ == weights_version()) {
    return prepared_;
  }
  const auto fresh = std::make_shared<Prepared>();
  prepared_version_ = weights_version();
  Shape x{1, options().bands, options().frames, 1};
  const auto prepare = [&x](const Layer& parts) {
    auto conv = kernels::prepare_conv(parts.weight.value(), x, parts.options);
    x = conv_output_shape(x, parts.weight.shape(), parts.options);
    return conv;
  };
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    fresh->blocks.at(i).along_time = prepare(blocks_.at(i).along_time);
    fresh->blocks.at(i).along_frequency = prepare(blocks_.at(i).along_frequency);
  }
  prepared_ = fresh;
  return prepared_;
}

Tensor NafpEncoder::embed_blocks(const Prepared& prepared, Tensor x, std::size_t begin, std::size_t end) const {
  const auto layer = [&](const Layer& parts, const std::shared_ptr<const kernels::PreparedConv>& conv) {
    const Tensor y(conv_output_shape(x.shape(), parts.weight.shape(), parts.options), x.dtype(), x.device());
    kernels::conv_forward({.x = x,
                           .weight = parts.weight.value(),
                           .bias = parts.bias.value(),
                           .options = parts.options,
                           .add = {},
                           .out = y,
                           .prepared = conv});
    kernels::layer_norm_forward({.x = y,
                                 .gamma = parts.gamma.value(),
                                 .beta = parts.beta.value(),
                                 .elu = true,
                                 .out = y,
                                 .mean = Tensor({y.dim(0)}, y.dtype(), y.device()),
                                 .inverse_deviation = Tensor({y.dim(0)}, y.dtype(), y.device())});
    x = y;
  };
  for (std::size_t i = begin; i < end; ++i) {
    const TraceRange range(block_name(i));
    layer(blocks_.at(i).along_time, prepared.blocks.at(i).along_time);
    layer(blocks_.at(i).along_frequency, prepared.blocks.at(i).along_frequency);
  }
  return x;
}

Tensor NafpEncoder::embed(const Tensor& x) const {
  check_input(x);
  const std::shared_ptr<const Prepared> weights = prepared();
  return embed_in_groups(
      x, options().embedding,
      {.first = [&](Tensor samples) { return embed_blocks(*weights, std::move(samples), 0, kSingleBlocks); },
       .last =
           [&](Tensor samples) {
             return whitened(head_.encode(embed_blocks(*weights, std::move(samples), kSingleBlocks, kBlocks)));
           }});
}

}  // namespace earmark::nn
