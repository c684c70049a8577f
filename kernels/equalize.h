// Gain and filters, in place, each row its own: x := gain · x, then four second-order sections one after the other,
// from rest (transposed direct form II):
//   y[t] = b0·x[t] + s1      s1 := b1·x[t] - a1·y[t] + s2      s2 := b2·x[t] - a2·y[t]
// Sections are computed in double, and only their result is rounded: at 16 kHz a high-pass of 60 Hz would otherwise
// hum with its own rounding errors.
#pragma once

#include <array>
#include <span>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// A section; as it is here, it changes nothing.
struct FilterSection {
  double b0 = 1, b1 = 0, b2 = 0, a1 = 0, a2 = 0;
};

/// What is done to a row.
struct Equalizer {
  float gain = 1;
  bool filters = false;  ///< Whether there are sections that do something.
  std::array<FilterSection, 4> sections{};
};

struct Equalize {
  Tensor x;                         ///< (N, samples) f32
  std::span<const Equalizer> rows;  ///< (N)
};
void equalize(const Equalize& args);

namespace cpu {
void equalize(const Equalize& args);
}
namespace cuda {
void equalize(const Equalize& args);
}

}  // namespace earmark::kernels
