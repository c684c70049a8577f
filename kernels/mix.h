// Noise at a wanted signal-to-noise ratio: out = signal + g·noise with 10·log10(Σ signal² / Σ (g·noise)²) = snr_db,
// both sums over [begin, end). A row whose signal or noise is silent there keeps its signal: g = 0.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace earmark::kernels {

struct MixAtSnr {
  Tensor signal;  ///< (N, samples) f32
  Tensor noise;   ///< (N, samples) f32
  Tensor snr_db;  ///< (N) f32, on the signal's device or on the host
  std::int64_t begin = 0;
  std::int64_t end = 0;
  Tensor out;  ///< (N, samples) f32; may be `signal`
};
void mix_at_snr(const MixAtSnr& args);

struct PeakNormalize {
  Tensor x;  ///< (N, samples) f32, scaled in place so that max|x| = peak; silent rows stay.
  float peak = 1;
};
void peak_normalize(const PeakNormalize& args);

namespace cpu {
void mix_at_snr(const MixAtSnr& args);
void peak_normalize(const PeakNormalize& args);
}  // namespace cpu
namespace cuda {
void mix_at_snr(const MixAtSnr& args);
void peak_normalize(const PeakNormalize& args);
}  // namespace cuda

}  // namespace earmark::kernels
