// SpecAugment (Park et al., Interspeech 2019) and cutout (DeVries and Taylor, 2017): ranges of bands, ranges of frames
// and rectangles are overwritten, in place, with the mean that the segment had before, or with a value.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// From `begin` to before `end`; empty where they are equal.
struct MaskRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

/// Bands and frames at once.
struct MaskBox {
  MaskRange bands;
  MaskRange frames;
};

struct SpecAugment {
  Tensor x;                           ///< (N, F, T, 1) f32
  std::span<const MaskRange> bands;   ///< (N, masks of a segment), within 0 to F
  std::span<const MaskRange> frames;  ///< (N, masks of a segment), within 0 to T
  std::span<const MaskBox> boxes{};   ///< (N, masks of a segment), within 0 to F and 0 to T
  std::optional<float> fill{};        ///< Instead of the mean.
};
/// Throws Error for ranges that do not lie inside.
void spec_augment(const SpecAugment& args);

namespace cpu {
void spec_augment(const SpecAugment& args);
}
namespace cuda {
void spec_augment(const SpecAugment& args);
}

}  // namespace earmark::kernels
