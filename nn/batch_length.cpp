#include "nn/batch_length.h"

#include <algorithm>

namespace earmark::nn {

Tensor filled_up(const Tensor& x) {
  constexpr std::int64_t kStep = 64;
  const std::int64_t samples = x.dim(0);
  std::int64_t length = 1;
  while (length < std::min(samples, kStep)) {
    length *= 2;
  }
  length = samples > kStep ? (samples + kStep - 1) / kStep * kStep : length;
  if (samples == 0 || samples == length) {
    return x;
  }
  const Tensor out = Tensor::zeros(x.shape().with_leading(length), x.dtype(), x.device());
  out.slice(0, samples).copy_from(x);
  return out;
}

}  // namespace earmark::nn
