#include "nn/embed_in_groups.h"

#include <utility>

#include "kernels/normalize.h"
#include "kernels/parallel.h"
#include "nn/batch_length.h"

namespace earmark::nn {

namespace {

constexpr std::int64_t kLargestGroup = 32;

Tensor embed_group(const Tensor& x, const EmbedParts& parts) {
  Tensor y;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    const Tensor one = parts.first(x.slice(n, n + 1));
    if (!y) {
      y = Tensor(one.shape().with_leading(x.dim(0)), one.dtype());
    }
    y.slice(n, n + 1).copy_from(one);
  }
  return parts.last(std::move(y));
}

}  // namespace

Tensor embed_in_groups(const Tensor& x, std::int64_t dimension, const EmbedParts& parts) {
  const std::int64_t samples = x.dim(0);
  const Tensor out({samples, dimension}, x.dtype(), x.device());
  const auto normalize = [&](const Tensor& rows, std::int64_t begin, std::int64_t end) {
    kernels::l2_normalize(
        {.x = rows, .out = out.slice(begin, end), .norm = Tensor(Shape{end - begin}, x.dtype(), x.device())});
  };
  if (x.device().backend == Backend::cuda) {  // a GPU wants all of the batch at once
    normalize(parts.last(parts.first(filled_up(x))).slice(0, samples), 0, samples);
    return out;
  }
  parallel_ranges(samples, even_grain(samples, kLargestGroup), [&](std::int64_t begin, std::int64_t end) {
    normalize(embed_group(x.slice(begin, end), parts), begin, end);
  });
  return out;
}

}  // namespace earmark::nn
