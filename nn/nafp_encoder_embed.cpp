// Inference of the NAFP encoder: weights prepared once, each layer normalised where it lies, nothing recorded.
#include <algorithm>

#include "kernels/layer_norm.h"
#include "kernels/normalize.h"
#include "kernels/parallel.h"
#include "kernels/trace.h"
#include "nn/batch_length.h"
#include "nn/nafp_encoder.h"

namespace earmark::nn {

namespace {

/// On the CPU the first blocks see one sample at a time, whose activations stay in the cache of the thread that has it;
/// the others, small maps under large weights, see a whole group, so that one read of the weights serves all of it.
constexpr std::size_t kSingleBlocks = 4;
constexpr std::int64_t kLargestGroup = 32;

}  // namespace

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

Tensor NafpEncoder::embed_group(const Prepared& prepared, const Tensor& x) const {
  Tensor y;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    const Tensor one = embed_blocks(prepared, x.slice(n, n + 1), 0, kSingleBlocks);
    if (!y) {
      y = Tensor(one.shape().with_leading(x.dim(0)), one.dtype());
    }
    y.slice(n, n + 1).copy_from(one);
  }
  return head_.encode(embed_blocks(prepared, y, kSingleBlocks, kBlocks));
}

Tensor NafpEncoder::embed(const Tensor& x) const {
  check_input(x);
  const std::shared_ptr<const Prepared> weights = prepared();
  const std::int64_t samples = x.dim(0);
  const Tensor out({samples, options().embedding}, x.dtype(), x.device());
  const auto normalize = [&](const Tensor& rows, std::int64_t begin, std::int64_t end) {
    kernels::l2_normalize(
        {.x = rows, .out = out.slice(begin, end), .norm = Tensor(Shape{end - begin}, x.dtype(), x.device())});
  };
  if (x.device().backend == Backend::cuda) {  // a GPU wants all of the batch at once
    normalize(head_.encode(embed_blocks(*weights, filled_up(x), 0, kBlocks)).slice(0, samples), 0, samples);
    return out;
  }
  parallel_ranges(samples, even_grain(samples, kLargestGroup), [&](std::int64_t begin, std::int64_t end) {
    normalize(embed_group(*weights, x.slice(begin, end)), begin, end);
  });
  return out;
}

}  // namespace earmark::nn
