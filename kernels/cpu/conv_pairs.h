// Convolutions of so few output channels that they fill half a vector at most: two outputs that are neighbours in time
// count as one of twice the channels,
//   paired[j*O + o, a, b, i] = weight[o, a, b - j*stride_t, i], or 0 where there is no such tap, for j = 0, 1,
// a kernel stride_t longer at twice the stride. Memory is laid out the same, and so are the sums, but for products with
// zeros: finite inputs give the same bits. 3 taps become 4 and two outputs one: a third of the multiply-adds is saved.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

/// Whether two outputs fit one vector. A function of channels and extents, never of the batch.
template <class T>
bool pairs_fit(const ConvExtents& e) {
  return 2 * e.out <= kLanes<T> && e.out_t % 2 == 0;
}

/// (2*O, Kf, Kt + stride_t, I) from (O, Kf, Kt, I).
template <class T>
Tensor paired_weight(const Tensor& weight, int stride_t) {
  const std::int64_t row = weight.dim(2) * weight.dim(3);
  const std::int64_t shift = stride_t * weight.dim(3);
  const Tensor paired =
      Tensor::zeros({2 * weight.dim(0), weight.dim(1), weight.dim(2) + stride_t, weight.dim(3)}, weight.dtype());
  const std::int64_t rows = weight.dim(0) * weight.dim(1);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* from = weight.data<T>() + r * row;
    T* first = paired.mutable_data<T>() + r * (row + shift);
    std::copy_n(from, row, first);
    std::copy_n(from, row, first + rows * (row + shift) + shift);
  }
  return paired;
}

/// The extents of the paired convolution on the same memory.
inline ConvExtents paired_extents(const ConvExtents& e) {
  ConvOptions options = e.options;
  options.stride_t *= 2;
  return {{e.n, e.f, e.t, e.in}, {2 * e.out, e.kernel_f, e.kernel_t + e.options.stride_t, e.in}, options};
}

/// A bias for each of two paired outputs, or null where there is none.
template <class T>
class PairedBias {
 public:
  PairedBias(const T* bias, std::int64_t channels) : given_(bias != nullptr) {
    if (given_) {
      std::copy_n(bias, channels, twice_.begin());
      std::copy_n(bias, channels, twice_.begin() + channels);
    }
  }
  const T* data() const { return given_ ? twice_.data() : nullptr; }

 private:
  bool given_;
  std::array<T, kLanes<T>> twice_;
};

}  // namespace earmark::kernels::cpu
