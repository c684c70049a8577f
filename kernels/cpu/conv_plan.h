// How the pixels of a convolution pair up, worked out once per call. Along one axis, target positions fall into classes
// that see the same kernel taps: the interior, and one class per distance from an edge (and per parity, when the target
// is the gradient of a strided convolution's input). Within a class no tap needs a bounds check and none is wasted.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/conv.h"

namespace earmark::kernels::cpu {

/// A kernel position that reaches the source at base + offset.
struct AxisTap {
  int kernel;
  std::int64_t offset;
  bool operator==(const AxisTap&) const = default;
};

struct AxisClass {
  std::vector<AxisTap> taps;
  std::vector<std::int64_t> targets;  // positions in the target, ascending
  std::vector<std::int64_t> bases;    // what tap offsets are relative to in the source, one per target
};

/// Targets are outputs, sources inputs: source = target * stride + kernel - pad.
std::vector<AxisClass> forward_classes(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride,
                                       int pad);
/// Targets are inputs, sources outputs: the transposed relation. Kernel positions are counted from the end, so that
/// they ascend with the offsets, as in the forward direction.
std::vector<AxisClass> backward_classes(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride,
                                        int pad);

/// The extents of one convolution.
struct ConvExtents {
  std::int64_t n, f, t, in, out_f, out_t, out, kernel_f, kernel_t;
  ConvOptions options;
  ConvExtents(const Shape& x, const Shape& weight, const ConvOptions& o);
};

/// Pixels of one sample that share their taps: a product of two axis classes, as offsets in elements.
struct PixelClass {
  struct Tap {
    std::int64_t index;   // kernel_f * Kt + kernel_t
    std::int64_t offset;  // added to the source offset
  };
  std::vector<Tap> taps;
  std::vector<std::int64_t> source;
  std::vector<std::int64_t> target;
};
std::vector<PixelClass> forward_pixels(const ConvExtents& e);   ///< Source x, target out.
std::vector<PixelClass> backward_pixels(const ConvExtents& e);  ///< Source dout, target dx.

}  // namespace earmark::kernels::cpu
