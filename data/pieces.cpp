#include "data/pieces.h"

#include "kernels/dispatch.h"
#include "kernels/pcm.h"

namespace earmark::data {
namespace {

// A GPU takes samples from page-locked memory, which each thread keeps: to lock pages takes longer than to copy them.
Tensor staging(std::int64_t samples, Device device) {
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      thread_local Tensor kept;
      if (!kept || kept.numel() < samples) {
        kept = Tensor();
        kernels::cuda::make_current(device.index);
        const auto block = kernels::cuda::pinned(static_cast<std::size_t>(samples) * sizeof(std::int16_t));
        kept = Tensor({samples}, DType::i16, block.get(), block);
      }
      return kept.slice(0, samples);
    }
  }
  return Tensor({samples}, DType::i16);
}

}  // namespace

Pieces::Pieces(std::int64_t samples, Device device) : here_(staging(samples, device)), device_(device) {}

std::span<std::int16_t> Pieces::add(std::int64_t samples) {
  added_ += samples;
  return {here_.slice(added_ - samples, added_).mutable_data<std::int16_t>(), static_cast<std::size_t>(samples)};
}

// The copy is done when to() returns, so that the staging memory may be written again.
void Pieces::send() {
  there_ = Tensor(here_.shape(), DType::f32, device_);
  kernels::widen_pcm({here_.to(device_), there_});
}

Tensor Pieces::take(std::int64_t rows, std::int64_t samples) {
  taken_ += rows * samples;
  return there_.slice(taken_ - rows * samples, taken_).reshape({rows, samples});
}

}  // namespace earmark::data
