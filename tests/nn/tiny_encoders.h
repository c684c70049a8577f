// Encoders small enough for a test of each place of what they give.
#pragma once

#include <cstdint>

#include "nn/encoder.h"
#include "tests/op_cases.h"

namespace earmark::nn {

/// The paper's network with extents that no stride divides.
inline EncoderOptions tiny_options() {
  EncoderOptions options;
  options.width = 2;
  options.bands = 17;
  options.frames = 20;
  options.embedding = 8;
  options.head_hidden = 4;
  return options;
}

/// NAFP's: odd extents, several of which reach 1 before the last block.
inline EncoderOptions tiny_nafp_options() {
  EncoderOptions options = default_encoder_options("nafp");
  options.width = 2;
  options.bands = 37;
  options.frames = 21;
  options.embedding = 8;
  options.head_hidden = 4;
  return options;
}

/// Segments of normal numbers, of the shape that such an encoder takes: (count, bands, frames, 1).
inline Tensor random_segments(std::int64_t count, const EncoderOptions& options, DType dtype = DType::f32,
                              std::uint64_t seed = 7) {
  return testing::draw({count, options.bands, options.frames, 1}, testing::Domain::normal, dtype, seed);
}

}  // namespace earmark::nn
