// Pieces of sound on their way to the device that works on them: gathered one after another by the host, and brought
// there in one copy.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace earmark::data {

class Pieces {
 public:
  /// Room for `samples` in all. A thread makes one at a time for a GPU, and sends it before the next.
  Pieces(std::int64_t samples, Device device);

  /// The next piece, to be written.
  std::span<std::int16_t> add(std::int64_t samples);
  /// Brings all pieces to the device, as floats.
  void send();
  /// Pieces on the device, in the order in which they were added: the next `rows` of `samples` each, (rows, samples).
  Tensor take(std::int64_t rows, std::int64_t samples);

 private:
  Tensor here_;   // i16
  Tensor there_;  // f32
  Device device_;
  std::int64_t added_ = 0;
  std::int64_t taken_ = 0;
};

}  // namespace earmark::data
