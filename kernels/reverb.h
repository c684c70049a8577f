// Reverberation: linear convolution with a room impulse response (RIR) through one FFT, aligned to the direct path.
//   out[t] = Σ_k rir[k] · x[skip + delay + t - k]      x beyond its ends is 0
// `skip` drops the beginning, which served as context whose tails reach into what is kept.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// A good FFT size for this work. One block where it fits (training segments), overlapping blocks for long signals.
/// Throws Error for responses longer than 8 s at 16 kHz (2^17 samples).
std::int64_t reverb_fft_size(std::int64_t samples, std::int64_t skip, std::int64_t rir_length);
/// The spectrum of a response for one FFT size, (fft_size / 2 + 1, 2) f32, scaled by 1 / fft_size.
Tensor rir_spectrum(std::span<const float> rir, std::int64_t fft_size);

/// A response, ready for convolution.
struct RoomResponse {
  Tensor spectrum;          ///< (fft_size / 2 + 1, 2) f32, from rir_spectrum
  std::int64_t delay = 0;   ///< of the direct path, samples
  std::int64_t length = 0;  ///< samples; at most fft_size
};

struct Reverb {
  Tensor x;                             ///< (N, samples) f32
  std::span<const RoomResponse> rooms;  ///< (N), one for each row; or one for all
  std::int64_t skip = 0;                ///< samples dropped at the beginning
  Tensor out;                           ///< (N, samples - skip) f32
};
void reverb(const Reverb& args);

namespace cpu {
void reverb(const Reverb& args);
}
namespace cuda {
void reverb(const Reverb& args);
}

}  // namespace earmark::kernels
