// Random numbers by the million: each is a function of seed, stream and its place in the tensor alone.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace earmark::kernels {

enum class Distribution {
  uniform,  ///< In [-scale, scale).
  normal,   ///< With mean 0 and deviation `scale`.
};

/// Elements i * kRandomBlock and on are the draws, one after the other, of RandomStream(seed, stream, i).
inline constexpr std::int64_t kRandomBlock = 4096;

struct RandomFill {
  Tensor out;  ///< f32 or f64 of any shape; both get the same draws.
  Distribution distribution = Distribution::normal;
  double scale = 1;
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};
/// Both devices draw the same bits. Uniform numbers are the same but for one rounding; normal ones, whose logarithm and
/// cosine differ between libraries in the last place of a double, are so too in f32.
void random_fill(const RandomFill& args);

namespace cpu {
void random_fill(const RandomFill& args);
}
namespace cuda {
void random_fill(const RandomFill& args);
}

}  // namespace earmark::kernels
