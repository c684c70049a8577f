// Gradient of the weights: for each pixel class and kernel row, the taps of a row and their channels are contiguous in
// x and in the gradient alike, so they form one long vector axis:
//   dweight[o, a, b.., i..] += sum over pixels of dout[pixel, o] * x[pixel + tap row a, (b, i)..]
#include <algorithm>
#include <vector>

#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_tile.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kPixelsAtOnce = 128;        // their operands stay in L1 and L2 while all tiles pass over them
constexpr std::int64_t kPartialElements = 100000;  // above it, tasks split the output channels instead of the samples
constexpr int kOuterRows = kVectorRegisters == 32 ? 8 : 4;
constexpr int kOuterVectors = kVectorRegisters == 32 ? 3 : 2;

/// A run of taps in one kernel row: `length` elements from `weight` on, and from `x` on relative to a pixel.
struct TapRow {
  std::int64_t weight;
  std::int64_t x;
  std::int64_t length;
};

std::vector<TapRow> tap_rows(const PixelClass& c, const ConvExtents& e) {
  std::vector<TapRow> rows;
  for (const PixelClass::Tap& tap : c.taps) {
    const std::int64_t weight = tap.index * e.in;
    const bool continues = !rows.empty() && rows.back().weight + rows.back().length == weight &&
                           rows.back().x + rows.back().length == tap.offset;
    if (continues) {
      rows.back().length += e.in;
    } else {
      rows.push_back({weight, tap.offset, e.in});
    }
  }
  return rows;
}

/// R rows, all columns: three vectors at a time where they come out even (three taps do), else two.
template <class T, int R>
void outer_rows(const T* a, const T* b, const std::vector<PixelPair>& pixels, std::int64_t columns, T* out,
                std::int64_t stride) {
  const auto count = static_cast<std::int64_t>(pixels.size());
  const std::int64_t vectors = (columns + kLanes<T> - 1) / kLanes<T>;
  const std::int64_t step = (vectors % kOuterVectors == 0 ? kOuterVectors : 2) * kLanes<T>;
  for (std::int64_t c = 0; c < columns; c += step) {
    const auto left = static_cast<int>(std::min(columns - c, step));
    switch ((left + kLanes<T> - 1) / kLanes<T>) {
      case 1:
        outer_tile<T, R, 1>(a, b + c, pixels.data(), count, out + c, stride, left);
        break;
      case 2:
        outer_tile<T, R, 2>(a, b + c, pixels.data(), count, out + c, stride, left);
        break;
      default:
        outer_tile<T, R, kOuterVectors>(a, b + c, pixels.data(), count, out + c, stride, left);
    }
  }
}

template <class T>
struct Gradient {
  const ConvExtents& e;
  std::vector<PixelClass> classes;
  std::vector<std::vector<TapRow>> rows;
  const T* x;
  const T* dout;

  /// Adds samples [n0, n1) and output channels [o0, o1) to `dweight`.
  void add(std::int64_t n0, std::int64_t n1, std::int64_t o0, std::int64_t o1, T* dweight) const {
    std::vector<PixelPair> pixels;
    pixels.reserve(kPixelsAtOnce);
    for (std::size_t c = 0; c < classes.size(); ++c) {
      for (std::int64_t n = n0; n < n1; ++n) {
        for (std::size_t p = 0; p < classes[c].source.size(); ++p) {
          pixels.push_back(
              {n * e.out_f * e.out_t * e.out + classes[c].target[p], n * e.f * e.t * e.in + classes[c].source[p]});
          if (pixels.size() == kPixelsAtOnce) {
            flush(pixels, rows[c], o0, o1, dweight);
          }
        }
      }
      flush(pixels, rows[c], o0, o1, dweight);
    }
  }

 private:
  void flush(std::vector<PixelPair>& pixels, const std::vector<TapRow>& tap_row_list, std::int64_t o0, std::int64_t o1,
             T* dweight) const {
    const std::int64_t stride = e.kernel_f * e.kernel_t * e.in;
    for (const TapRow& row : tap_row_list) {
      accumulate_outer(dout + o0, x + row.x, pixels, o1 - o0, row.length, dweight + o0 * stride + row.weight, stride);
    }
    pixels.clear();
  }
};

}  // namespace

template <class T>
void accumulate_outer(const T* a, const T* b, const std::vector<PixelPair>& pixels, std::int64_t rows,
                      std::int64_t columns, T* out, std::int64_t stride) {
  std::int64_t row = 0;
  for (; row + kOuterRows <= rows; row += kOuterRows) {
    outer_rows<T, kOuterRows>(a + row, b, pixels, columns, out + row * stride, stride);
  }
  for (; row < rows; ++row) {
    outer_rows<T, 1>(a + row, b, pixels, columns, out + row * stride, stride);
  }
}

template <class T>
void sum_partials(const T* partials, std::int64_t count, std::int64_t size, T* out) {
  parallel_ranges(size, std::int64_t{1} << 14U, [&](std::int64_t begin, std::int64_t end) {
    std::copy(partials + begin, partials + end, out + begin);
    for (std::int64_t p = 1; p < count; ++p) {
      const T* part = partials + p * size;
      for (std::int64_t i = begin; i < end; ++i) {
        out[i] += part[i];
      }
    }
  });
}

template <class T>
void weight_gradient(const ConvExtents& e, const T* x, const T* dout, T* dweight) {
  const std::int64_t size = e.out * e.kernel_f * e.kernel_t * e.in;
  Gradient<T> g{e, forward_pixels(e), {}, x, dout};
  for (const PixelClass& c : g.classes) {
    g.rows.push_back(tap_rows(c, e));
  }
  if (size > kPartialElements) {
    constexpr std::int64_t kChannels = 2 * kOuterRows;
    std::fill_n(dweight, size, T{0});
    parallel_ranges(e.out, kChannels, [&](std::int64_t o0, std::int64_t o1) { g.add(0, e.n, o0, o1, dweight); });
    return;
  }
  const std::int64_t group = (e.n + kGradientPartials - 1) / kGradientPartials;
  const std::int64_t count = group == 0 ? 1 : std::max<std::int64_t>((e.n + group - 1) / group, 1);
  const Tensor partials({count, size}, dtype_of<T>);
  parallel_for(count, [&](std::int64_t i) {
    T* part = partials.mutable_data<T>() + i * size;
    std::fill_n(part, size, T{0});
    g.add(i * group, std::min(e.n, (i + 1) * group), 0, e.out, part);
  });
  sum_partials(partials.data<T>(), count, size, dweight);
}

template <class T>
void bias_gradient(const T* dout, std::int64_t rows, std::int64_t channels, T* dbias) {
  constexpr std::int64_t kRows = 4096;
  const std::int64_t count = std::max<std::int64_t>((rows + kRows - 1) / kRows, 1);
  const Tensor partials = Tensor::zeros({count, channels}, dtype_of<T>);
  parallel_for(count, [&](std::int64_t i) {
    T* part = partials.mutable_data<T>() + i * channels;
    for (std::int64_t row = i * kRows; row < std::min(rows, (i + 1) * kRows); ++row) {
      for (std::int64_t c = 0; c < channels; ++c) {
        part[c] += dout[row * channels + c];
      }
    }
  });
  sum_partials(partials.data<T>(), count, channels, dbias);
}

template void accumulate_outer(const float*, const float*, const std::vector<PixelPair>&, std::int64_t, std::int64_t,
                               float*, std::int64_t);
template void accumulate_outer(const double*, const double*, const std::vector<PixelPair>&, std::int64_t, std::int64_t,
                               double*, std::int64_t);
template void sum_partials(const float*, std::int64_t, std::int64_t, float*);
template void sum_partials(const double*, std::int64_t, std::int64_t, double*);
template void weight_gradient(const ConvExtents&, const float*, const float*, float*);
template void weight_gradient(const ConvExtents&, const double*, const double*, double*);
template void bias_gradient(const float*, std::int64_t, std::int64_t, float*);
template void bias_gradient(const double*, std::int64_t, std::int64_t, double*);

}  // namespace earmark::kernels::cpu
