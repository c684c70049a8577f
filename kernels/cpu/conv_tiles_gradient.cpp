// The gradient of the weights by tiles: for every tap, channels times channels, summed over the target's places,
//   dweight[o, tap, i] = sum over places q of x[plane, i, q + shift] * dout[q, o].
// x is rounded into its planes transposed (channels in rows, so that a tap is a shift along them), dout with pairs of
// places interleaved and zeros where a place is none.
#include <algorithm>
#include <array>

#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_tiles.h"
#include "kernels/dtype.h"
#include "kernels/parallel.h"
#include "kernels/tensor.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kGroupElements = 400000;  // of both operands, of the samples that a task rounds at once
constexpr std::int64_t kPartialFloats = 100000;  // above it, tasks split the output channels instead of the samples

std::int64_t tiles_of(std::int64_t channels) { return (channels + kTileSide - 1) / kTileSide; }

/// The sizes of both operands.
struct GradientPlan {
  const ConvExtents& e;
  PlaneAxis f, t;
  std::int64_t chunks;  // of 32 places
  std::int64_t pixels;  // of a plane, with what shifted places reach

  explicit GradientPlan(const ConvExtents& extents)
      : e(extents),
        f(forward_axis(e.f, e.out_f, e.kernel_f, e.options.stride_f, e.options.pad_f.before)),
        t(forward_axis(e.t, e.out_t, e.kernel_t, e.options.stride_t, e.options.pad_t.before)),
        chunks(((e.out_f - 1) * t.length + e.out_t + kTileDepth - 1) / kTileDepth) {
    const std::int64_t reach = (e.kernel_f - 1) / f.planes * t.length + (e.kernel_t - 1) / t.planes;
    pixels = (chunks * kTileDepth + reach + kTileDepth - 1) / kTileDepth * kTileDepth;
  }

  std::int64_t rows() const { return tiles_of(e.in) * kTileSide; }
  std::int64_t plane() const { return rows() * pixels; }
  std::int64_t x_sample() const { return f.planes * t.planes * plane(); }
  /// Of dout, for each tile of output channels: [place / 2][channel][place % 2].
  std::int64_t dout_tile() const { return chunks * kTileElements; }
  std::int64_t dout_sample() const { return tiles_of(e.out) * dout_tile(); }
  std::int64_t taps() const { return e.kernel_f * e.kernel_t; }
  /// Tiles of rows, [tap][tile of input channels], for each tile of output channels.
  std::int64_t row_tiles() const { return taps() * tiles_of(e.in); }
  std::int64_t sums() const { return tiles_of(e.out) * row_tiles() * kTileSide * kTileSide; }

  /// The first element of a row tile's operand within a sample.
  std::int64_t source(std::int64_t row_tile) const {
    const std::int64_t tap = row_tile / tiles_of(e.in);
    const std::int64_t a = tap / e.kernel_t;
    const std::int64_t b = tap % e.kernel_t;
    const std::int64_t at = a % f.planes * t.planes + b % t.planes;
    return at * plane() + row_tile % tiles_of(e.in) * kTileSide * pixels + a / f.planes * t.length + b / t.planes;
  }
};

/// The source's pixel at a place of a plane, or null.
const float* pixel_at(const GradientPlan& p, const float* x, std::int64_t plane, std::int64_t place) {
  const std::int64_t f = place / p.t.length * p.f.planes + plane / p.t.planes - p.f.pad;
  const std::int64_t t = place % p.t.length * p.t.planes + plane % p.t.planes - p.t.pad;
  const bool inside = f >= 0 && f < p.e.f && t >= 0 && t < p.e.t;
  return inside ? x + (f * p.e.t + t) * p.e.in : nullptr;
}

void round_x(const GradientPlan& p, const float* x, Bf16Bits* to) {
  if (p.rows() != p.e.in) {
    std::fill_n(to, p.x_sample(), Bf16Bits{0});
  }
  for (std::int64_t plane = 0; plane < p.f.planes * p.t.planes; ++plane) {
    for (std::int64_t first = 0; first < p.pixels; first += kTileSide) {
      PixelRows rows;
      for (std::int64_t i = 0; i < kTileSide; ++i) {
        rows[static_cast<std::size_t>(i)] = pixel_at(p, x, plane, first + i);
      }
      round_transposed(rows, p.e.in, to + plane * p.plane() + first, p.pixels);
    }
  }
}

void round_dout(const GradientPlan& p, const float* dout, Bf16Bits* to) {
  const auto at = [&](std::int64_t place) {
    const std::int64_t f = place / p.t.length;
    const std::int64_t t = place % p.t.length;
    return f < p.e.out_f && t < p.e.out_t ? dout + (f * p.e.out_t + t) * p.e.out : nullptr;
  };
  if (p.e.out % kTileSide != 0) {
    std::fill_n(to, p.dout_sample(), Bf16Bits{0});
  }
  for (std::int64_t place = 0; place < p.chunks * kTileDepth; place += 2) {
    const float* first = at(place);
    const float* second = at(place + 1);
    for (std::int64_t o = 0; o < p.e.out; o += kTileSide) {
      round_interleaved(first == nullptr ? nullptr : first + o, second == nullptr ? nullptr : second + o,
                        std::min(kTileSide, p.e.out - o), to + o / kTileSide * p.dout_tile() + place * kTileSide);
    }
  }
}

/// Adds `samples` samples to the sums of output tiles [o0, o1), at most two.
void add_samples(const GradientPlan& p, const Bf16Bits* x, const Bf16Bits* dout, std::int64_t samples, std::int64_t o0,
                 std::int64_t o1, float* sums) {
  alignas(64) std::array<float, 2 * kTileSide * kTileSide> nowhere{};
  const auto place = [&](std::int64_t o, std::int64_t row_tile) {
    return sums + (o * p.row_tiles() + row_tile) * kTileSide * kTileSide;
  };
  for (std::int64_t r = 0; r < p.row_tiles(); r += 2) {
    TileSums t{};
    const bool two = r + 1 < p.row_tiles();
    t.a_row = p.pixels;
    t.a_sample = p.x_sample();
    t.b_row = 2 * kTileSide;
    t.b_sample = p.dout_sample();
    t.samples = samples;
    t.chunks = p.chunks;
    t.column_tiles = static_cast<int>(o1 - o0);
    for (std::int64_t i = 0; i < 2; ++i) {
      t.a[i] = x + p.source(two ? r + i : r);
      t.b[i] = dout + (o0 + std::min(i, o1 - o0 - 1)) * p.dout_tile();
      for (std::int64_t j = 0; j < o1 - o0; ++j) {
        t.out[i][j] = i == 0 || two ? place(o0 + j, r + i) : nowhere.data() + j * kTileSide * kTileSide;
      }
    }
    add_tile_sums(t);
  }
}

/// dweight of output tile o from the sums of all partials, in order.
void collect(const GradientPlan& p, const float* partials, std::int64_t count, std::int64_t o, float* dweight) {
  const std::int64_t in_tiles = tiles_of(p.e.in);
  for (std::int64_t column = 0; column < std::min(kTileSide, p.e.out - o * kTileSide); ++column) {
    float* to = dweight + (o * kTileSide + column) * p.taps() * p.e.in;
    for (std::int64_t tap = 0; tap < p.taps(); ++tap) {
      for (std::int64_t i = 0; i < p.e.in; ++i) {
        const std::int64_t tile = o * p.row_tiles() + tap * in_tiles + i / kTileSide;
        const std::int64_t at = (tile * kTileSide + i % kTileSide) * kTileSide + column;
        float sum = partials[at];
        for (std::int64_t part = 1; part < count; ++part) {
          sum += partials[part * p.sums() + at];
        }
        to[tap * p.e.in + i] = sum;
      }
    }
  }
}

/// Samples [n0, n1): rounded a few at a time, and added while they are in the cache.
void add_group(const GradientPlan& p, const float* x, const float* dout, std::int64_t n0, std::int64_t n1,
               float* sums) {
  const std::int64_t both = p.x_sample() + p.dout_sample();
  const std::int64_t at_once = std::clamp<std::int64_t>(kGroupElements / both, 1, std::max<std::int64_t>(n1 - n0, 1));
  const Tensor rounded({at_once * both}, DType::bf16);
  auto* rounded_x = reinterpret_cast<Bf16Bits*>(rounded.raw());
  Bf16Bits* rounded_dout = rounded_x + at_once * p.x_sample();
  const TileScope scope;
  for (std::int64_t first = n0; first < n1; first += at_once) {
    const std::int64_t count = std::min(at_once, n1 - first);
    for (std::int64_t i = 0; i < count; ++i) {
      round_x(p, x + (first + i) * p.e.f * p.e.t * p.e.in, rounded_x + i * p.x_sample());
      round_dout(p, dout + (first + i) * p.e.out_f * p.e.out_t * p.e.out, rounded_dout + i * p.dout_sample());
    }
    for (std::int64_t o = 0; o < tiles_of(p.e.out); o += 2) {
      add_samples(p, rounded_x, rounded_dout, count, o, std::min(o + 2, tiles_of(p.e.out)), sums);
    }
  }
}

/// Few weights: a partial sum for each of a fixed number of groups of samples.
void gradient_by_samples(const GradientPlan& p, const float* x, const float* dout, float* dweight) {
  const std::int64_t group = std::max<std::int64_t>((p.e.n + kGradientPartials - 1) / kGradientPartials, 1);
  const std::int64_t count = std::max<std::int64_t>((p.e.n + group - 1) / group, 1);
  const Tensor partials = Tensor::zeros({count, p.sums()});
  parallel_for(count, [&](std::int64_t i) {
    add_group(p, x, dout, i * group, std::min(p.e.n, (i + 1) * group), partials.mutable_data<float>() + i * p.sums());
  });
  parallel_for(tiles_of(p.e.out), [&](std::int64_t o) { collect(p, partials.data<float>(), count, o, dweight); });
}

/// Many weights: all samples are rounded first, then tasks have two tiles of output channels each.
void gradient_by_channels(const GradientPlan& p, const float* x, const float* dout, float* dweight) {
  const Tensor rounded({p.e.n * (p.x_sample() + p.dout_sample())}, DType::bf16);
  auto* rounded_x = reinterpret_cast<Bf16Bits*>(rounded.raw());
  Bf16Bits* rounded_dout = rounded_x + p.e.n * p.x_sample();
  parallel_for(p.e.n, [&](std::int64_t n) {
    round_x(p, x + n * p.e.f * p.e.t * p.e.in, rounded_x + n * p.x_sample());
    round_dout(p, dout + n * p.e.out_f * p.e.out_t * p.e.out, rounded_dout + n * p.dout_sample());
  });
  const Tensor sums = Tensor::zeros({p.sums()});
  const std::int64_t at_once = std::max<std::int64_t>(kGroupElements / (p.x_sample() + 2 * p.dout_tile()), 1);
  parallel_ranges(tiles_of(p.e.out), 2, [&](std::int64_t o0, std::int64_t o1) {
    const TileScope scope;
    for (std::int64_t n = 0; n < p.e.n; n += at_once) {
      add_samples(p, rounded_x + n * p.x_sample(), rounded_dout + n * p.dout_sample(), std::min(at_once, p.e.n - n), o0,
                  o1, sums.mutable_data<float>());
    }
    for (std::int64_t o = o0; o < o1; ++o) {
      collect(p, sums.data<float>(), 1, o, dweight);
    }
  });
}

}  // namespace

void tile_weight_gradient(const ConvExtents& e, const float* x, const float* dout, float* dweight) {
  const GradientPlan plan(e);
  if (plan.sums() > kPartialFloats) {
    gradient_by_channels(plan, x, dout, dweight);
  } else {
    gradient_by_samples(plan, x, dout, dweight);
  }
}

}  // namespace earmark::kernels::cpu
