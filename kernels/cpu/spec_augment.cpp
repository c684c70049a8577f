#include "kernels/spec_augment.h"

#include <algorithm>
#include <numeric>

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

/// One segment (bands, frames) on its way.
struct Segment {
  float* x;
  std::int64_t bands;
  std::int64_t frames;

  float mean() const {
    const double sum = std::accumulate(x, x + bands * frames, 0.0);
    return static_cast<float>(sum / static_cast<double>(bands * frames));
  }
  void fill(const MaskBox& box, float value) const {
    for (std::int64_t f = box.bands.begin; f < box.bands.end; ++f) {
      std::fill(x + f * frames + box.frames.begin, x + f * frames + box.frames.end, value);
    }
  }
};

/// The masks of segment i.
template <class Mask>
std::span<const Mask> masks_of(std::span<const Mask> all, std::int64_t segment, std::int64_t segments) {
  const std::size_t each = all.size() / static_cast<std::size_t>(segments);
  return all.subspan(static_cast<std::size_t>(segment) * each, each);
}

}  // namespace

void spec_augment(const SpecAugment& args) {
  const std::int64_t count = args.x.dim(0);
  const auto bands = static_cast<std::int32_t>(args.x.dim(1));
  const auto frames = static_cast<std::int32_t>(args.x.dim(2));
  parallel_for(count, [&](std::int64_t i) {
    const Segment segment{args.x.mutable_data<float>() + i * bands * frames, bands, frames};
    const float value = args.fill ? *args.fill : segment.mean();
    for (const MaskRange& range : masks_of(args.bands, i, count)) {
      segment.fill({range, {0, frames}}, value);
    }
    for (const MaskRange& range : masks_of(args.frames, i, count)) {
      segment.fill({{0, bands}, range}, value);
    }
    for (const MaskBox& box : masks_of(args.boxes, i, count)) {
      segment.fill(box, value);
    }
  });
}

}  // namespace earmark::kernels::cpu
