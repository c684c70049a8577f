// SpecAugment (Park et al., Interspeech 2019): ranges of bands and ranges of frames are overwritten, in place, with the
// mean that the segment had before.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// From `begin` to before `end`; empty where they are equal.
struct MaskRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

struct SpecAugment {
  Tensor x;                           ///< (N, F, T, 1) f32
  std::span<const MaskRange> bands;   ///< (N, masks of a segment), within 0 to F
  std::span<const MaskRange> frames;  ///< (N, masks of a segment), within 0 to T
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
