#include "kernels/cpu/conv_plan.h"

#include <algorithm>

namespace earmark::kernels::cpu {
namespace {

void add_to_class(std::vector<AxisClass>& classes, const std::vector<AxisTap>& taps, std::int64_t target,
                  std::int64_t base) {
  auto found = std::find_if(classes.begin(), classes.end(), [&](const AxisClass& c) { return c.taps == taps; });
  if (found == classes.end()) {
    classes.push_back({taps, {}, {}});
    found = classes.end() - 1;
  }
  found->targets.push_back(target);
  found->bases.push_back(base);
}

struct Axes {
  std::int64_t source_t, source_c, target_t, target_c, kernel_t;
};

std::vector<PixelClass> combine(const std::vector<AxisClass>& rows, const std::vector<AxisClass>& columns,
                                const Axes& a) {
  std::vector<PixelClass> classes;
  for (const AxisClass& f : rows) {
    for (const AxisClass& t : columns) {
      PixelClass& c = classes.emplace_back();
      for (const AxisTap& tap_f : f.taps) {
        for (const AxisTap& tap_t : t.taps) {
          c.taps.push_back(
              {tap_f.kernel * a.kernel_t + tap_t.kernel, (tap_f.offset * a.source_t + tap_t.offset) * a.source_c});
        }
      }
      for (std::size_t i = 0; i < f.targets.size(); ++i) {
        for (std::size_t j = 0; j < t.targets.size(); ++j) {
          c.source.push_back((f.bases[i] * a.source_t + t.bases[j]) * a.source_c);
          c.target.push_back((f.targets[i] * a.target_t + t.targets[j]) * a.target_c);
        }
      }
    }
  }
  return classes;
}

}  // namespace

std::vector<AxisClass> forward_classes(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride,
                                       int pad) {
  std::vector<AxisClass> classes;
  for (std::int64_t o = 0; o < outputs; ++o) {
    const std::int64_t base = o * stride - pad;
    std::vector<AxisTap> taps;
    for (std::int64_t k = 0; k < kernel; ++k) {
      if (base + k >= 0 && base + k < inputs) {
        taps.push_back({static_cast<int>(k), k});
      }
    }
    add_to_class(classes, taps, o, base);
  }
  return classes;
}

std::vector<AxisClass> backward_classes(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride,
                                        int pad) {
  std::vector<AxisClass> classes;
  for (std::int64_t i = 0; i < inputs; ++i) {
    const std::int64_t base = (i + pad) / stride;
    const std::int64_t phase = (i + pad) % stride;
    std::vector<AxisTap> taps;
    for (std::int64_t k = phase; k < kernel; k += stride) {
      const std::int64_t offset = -(k - phase) / stride;
      if (base + offset >= 0 && base + offset < outputs) {
        taps.push_back({static_cast<int>(kernel - 1 - k), offset});
      }
    }
    std::reverse(taps.begin(), taps.end());
    add_to_class(classes, taps, i, base);
  }
  return classes;
}

ConvExtents::ConvExtents(const Shape& x, const Shape& weight, const ConvOptions& o)
    : n(x[0]), f(x[1]), t(x[2]), in(x[3]), out(weight[0]), kernel_f(weight[1]), kernel_t(weight[2]), options(o) {
  const Shape result = conv_output_shape(x, weight, o);
  out_f = result[1];
  out_t = result[2];
}

std::vector<PixelClass> forward_pixels(const ConvExtents& e) {
  const ConvOptions& o = e.options;
  return combine(forward_classes(e.f, e.out_f, e.kernel_f, o.stride_f, o.pad_f.before),
                 forward_classes(e.t, e.out_t, e.kernel_t, o.stride_t, o.pad_t.before),
                 {e.t, e.in, e.out_t, e.out, e.kernel_t});
}

std::vector<PixelClass> backward_pixels(const ConvExtents& e) {
  const ConvOptions& o = e.options;
  return combine(backward_classes(e.f, e.out_f, e.kernel_f, o.stride_f, o.pad_f.before),
                 backward_classes(e.t, e.out_t, e.kernel_t, o.stride_t, o.pad_t.before),
                 {e.out_t, e.out, e.t, e.in, e.kernel_t});
}

}  // namespace earmark::kernels::cpu
