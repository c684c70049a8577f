// 16-bit samples as floats: out = pcm / 32767, full scale at ±1.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

inline constexpr float kPcmStep = 1.0F / 32767.0F;

struct WidenPcm {
  Tensor pcm;  ///< i16, any shape
  Tensor out;  ///< f32, the same shape
};
void widen_pcm(const WidenPcm& args);

namespace cpu {
void widen_pcm(const WidenPcm& args);
}
namespace cuda {
void widen_pcm(const WidenPcm& args);
}

}  // namespace earmark::kernels
