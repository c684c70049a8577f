#include "kernels/spec_augment.h"

#include <algorithm>
#include <numeric>

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

void mask_segment(float* x, std::int64_t bands, std::int64_t frames, std::span<const MaskRange> band_ranges,
                  std::span<const MaskRange> frame_ranges) {
  const double sum = std::accumulate(x, x + bands * frames, 0.0);
  const auto mean = static_cast<float>(sum / static_cast<double>(bands * frames));
  for (const MaskRange& range : band_ranges) {
    std::fill(x + range.begin * frames, x + range.end * frames, mean);
  }
  for (const MaskRange& range : frame_ranges) {
    for (std::int64_t f = 0; f < bands; ++f) {
      std::fill(x + f * frames + range.begin, x + f * frames + range.end, mean);
    }
  }
}

}  // namespace

void spec_augment(const SpecAugment& args) {
  const auto segments = static_cast<std::size_t>(args.x.dim(0));
  const std::int64_t bands = args.x.dim(1);
  const std::int64_t frames = args.x.dim(2);
  const std::size_t per_bands = args.bands.size() / segments;
  const std::size_t per_frames = args.frames.size() / segments;
  parallel_for(args.x.dim(0), [&](std::int64_t segment) {
    const auto i = static_cast<std::size_t>(segment);
    mask_segment(args.x.mutable_data<float>() + segment * bands * frames, bands, frames,
                 args.bands.subspan(i * per_bands, per_bands), args.frames.subspan(i * per_frames, per_frames));
  });
}

}  // namespace earmark::kernels::cpu
