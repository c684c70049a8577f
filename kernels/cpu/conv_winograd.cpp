#include "kernels/cpu/conv_winograd.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/winograd_transform.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kLeastChannels = 16;          // below, the transforms cost more than they save
constexpr std::int64_t kLeastGradientChannels = 32;  // the same for the gradient of the weights
constexpr std::int64_t kScratchBytes = 256 << 10U;   // V and M of a chunk: part of L2
constexpr std::int64_t kLeastTiles = 64;             // per chunk: amortises one read of U
constexpr std::int64_t kPartialChannels = 64 * 64;   // I * O up to which weight gradients are summed from partials
constexpr std::int64_t kGroupBytes = 8 << 20U;       // V and dM of a group of samples: in L3

std::int64_t tiles_per_chunk(std::int64_t bytes_per_tile) {
  return std::max(kLeastTiles, kScratchBytes / bytes_per_tile);
}

/// Pointers to the pixels of a rows x columns patch at (f, t); outside the map, to zeros.
template <class T, std::size_t N>
std::array<const T*, N> patch(const T* map, const TileGrid& grid, std::int64_t channels, std::int64_t f0,
                              std::int64_t t0, std::int64_t columns, const T* zeros) {
  std::array<const T*, N> out;
  for (std::size_t i = 0; i < N; ++i) {
    const std::int64_t f = f0 + static_cast<std::int64_t>(i) / columns;
    const std::int64_t t = t0 + static_cast<std::int64_t>(i) % columns;
    const bool inside = f >= 0 && f < grid.f && t >= 0 && t < grid.t;
    out[i] = inside ? map + (f * grid.t + t) * channels : zeros;
  }
  return out;
}

/// Elements from one point's matrix of `tiles` x `channels` to the next. The line between them keeps the 16 points of a
/// tile out of one set of the cache.
template <class T>
std::int64_t point_step(std::int64_t tiles, std::int64_t channels) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  return tiles * channels + kLine;
}

/// V of tiles [begin, end), points `step` apart.
template <class T>
void transform_inputs(const T* source, const TileGrid& grid, std::int64_t channels, std::int64_t begin,
                      std::int64_t end, const T* zeros, T* v, std::int64_t step) {
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const TileGrid::Place at = grid.place(tile);
    const T* map = source + at.n * grid.f * grid.t * channels;
    T* to = v + (tile - begin) * channels;
    const bool interior = at.f > 0 && at.t > 0 && at.f + 2 < grid.f && at.t + 2 < grid.t;
    if (interior) {
      const T* first = map + ((at.f - 1) * grid.t + at.t - 1) * channels;
      const std::int64_t row = grid.t * channels;
      winograd_input_tile<T>([=](int i) { return first + (i / 4) * row + (i % 4) * channels; }, channels, to, step);
    } else {
      const auto pixels = patch<T, kWinogradPoints>(map, grid, channels, at.f - 1, at.t - 1, 4, zeros);
      winograd_input_tile<T>([&](int i) { return pixels[static_cast<std::size_t>(i)]; }, channels, to, step);
    }
  }
}

/// A dy A' of tiles [begin, end), points `step` apart.
template <class T>
void transform_gradients(const T* dout, const TileGrid& grid, std::int64_t channels, std::int64_t begin,
                         std::int64_t end, const T* zeros, T* dm, std::int64_t step) {
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const TileGrid::Place at = grid.place(tile);
    const T* map = dout + at.n * grid.f * grid.t * channels;
    const auto pixels = patch<T, 4>(map, grid, channels, at.f, at.t, 2, zeros);
    winograd_gradient_tile<T>(pixels, channels, dm + (tile - begin) * channels, step);
  }
}

/// M (16, tiles, columns) = V (16, tiles, depth) * panels, point by point.
template <class T, int V>
void multiply_points(const Panels<T>& panels, const T* v, T* m, std::int64_t tiles) {
  constexpr int kRows = kTileRows<V>;
  const std::array<Run, 1> run{{{0, 0, panels.depth}}};
  std::vector<std::int64_t> from(static_cast<std::size_t>(tiles + kRows));
  std::vector<std::int64_t> to(from.size());
  for (std::int64_t row = 0; row < tiles + kRows; ++row) {
    from[static_cast<std::size_t>(row)] = std::min(row, tiles - 1) * panels.depth;
    to[static_cast<std::size_t>(row)] = std::min(row, tiles - 1) * panels.columns;
  }
  for (std::int64_t block = 0; block < panels.blocks(); ++block) {
    const T* panel = panels.block(block);
    for (std::int64_t point = 0; point < kWinogradPoints; ++point, panel += panels.depth * panels.width()) {
      const T* source = v + point * point_step<T>(tiles, panels.depth);
      const TileStore<T> store{m + point * point_step<T>(tiles, panels.columns) + block * panels.width(),
                               nullptr,
                               nullptr,
                               false,
                               false,
                               panels.valid_columns(block)};
      for (std::int64_t tile = 0; tile < tiles; tile += kRows) {
        // The last rows are computed again rather than in a narrower tile: they come out the same.
        const std::int64_t first = std::max<std::int64_t>(0, std::min(tile, tiles - kRows));
        multiply_tile<T, kRows, V>(source, from.data() + first, run, panel, to.data() + first, store);
      }
    }
  }
}

/// Writes tiles [begin, end) of the target from M.
template <class T>
void transform_outputs(const WinogradMap<T>& map, const TileGrid& grid, std::int64_t channels, std::int64_t begin,
                       std::int64_t end, const T* m) {
  const std::int64_t step = point_step<T>(end - begin, channels);
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const TileGrid::Place at = grid.place(tile);
    const std::int64_t first = ((at.n * grid.f + at.f) * grid.t + at.t) * channels;
    const bool wide = at.t + 1 < grid.t;
    const int count = at.f + 1 < grid.f ? 4 : 2;
    for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
      const auto valid = static_cast<int>(std::min<std::int64_t>(kLanes<T>, channels - c));
      Vec<T> y[4];
      if (valid == kLanes<T>) {
        winograd_output<T>(m + (tile - begin) * channels + c, step, kLanes<T>, y);
      } else {
        winograd_output<T>(m + (tile - begin) * channels + c, step, valid, y);
      }
      const Vec<T> bias = map.bias == nullptr ? Vec<T>{} : load_first(map.bias + c, valid);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        if (i < count && (i % 2 == 0 || wide)) {
          const std::int64_t to = first + ((i / 2) * grid.t + i % 2) * channels + c;
          Vec<T> value = y[i] + bias;
          if (map.add != nullptr) {
            value += load_first(map.add + to, valid);
          }
          store_first<T>(map.target + to, map.relu ? relu<T>(value) : value, valid);
        }
      }
    }
  }
}

/// The 16 matrices in the weights' own order, (O, 16, I).
template <class T>
Tensor transformed_weight(const Tensor& weight, bool flipped) {
  const std::int64_t in = weight.dim(3);
  const Tensor u({weight.dim(0), kWinogradPoints, in}, weight.dtype());
  constexpr std::int64_t kOutputs = 16;
  parallel_ranges(weight.dim(0), kOutputs, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      winograd_weight(weight.data<T>() + o * 9 * in, flipped, in, u.mutable_data<T>() + o * kWinogradPoints * in);
    }
  });
  return u;
}

/// One side of a weight gradient: samples to transform, and where to.
template <class T>
struct GradientScratch {
  Tensor v;
  Tensor dm;
  std::int64_t tiles;
  GradientScratch(std::int64_t tile_count, const ConvExtents& e)
      : v({kWinogradPoints, point_step<T>(tile_count, e.in)}, dtype_of<T>),
        dm({kWinogradPoints, point_step<T>(tile_count, e.out)}, dtype_of<T>),
        tiles(tile_count) {}

  /// du (O, I) of one point += dM' V over the first `count` tiles.
  void accumulate(const ConvExtents& e, std::int64_t point, std::int64_t count, std::int64_t o0, std::int64_t o1,
                  T* du) const {
    constexpr std::int64_t kTilesAtOnce = 128;
    const T* dm_point = dm.data<T>() + point * point_step<T>(count, e.out) + o0;
    const T* v_point = v.data<T>() + point * point_step<T>(count, e.in);
    std::vector<PixelPair> pairs;
    for (std::int64_t t0 = 0; t0 < count; t0 += kTilesAtOnce) {
      pairs.clear();
      for (std::int64_t t = t0; t < std::min(count, t0 + kTilesAtOnce); ++t) {
        pairs.push_back({t * e.out, t * e.in});
      }
      accumulate_outer(dm_point, v_point, pairs, o1 - o0, e.in, du + o0 * e.in, e.in);
    }
  }
};

template <class T>
void write_weight_gradient(const ConvExtents& e, const T* du, T* dweight) {
  parallel_ranges(e.out, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      winograd_weight_back(du + o * e.in, e.out * e.in, e.in, dweight + o * 9 * e.in);
    }
  });
}

/// Few channels: each task sums its own samples, chunk by chunk in L2, and the partials are added up in order.
template <class T>
void gradient_by_samples(const ConvExtents& e, const T* x, const T* dout, const T* zeros, T* dweight) {
  const TileGrid grid(e.f, e.t);
  const std::int64_t size = kWinogradPoints * e.out * e.in;
  const std::int64_t group = (e.n + kGradientPartials - 1) / kGradientPartials;
  const std::int64_t count = (e.n + group - 1) / group;
  const Tensor partials({count, size}, dtype_of<T>);
  const std::int64_t chunk = tiles_per_chunk(kWinogradPoints * (e.in + e.out) * static_cast<std::int64_t>(sizeof(T)));
  parallel_for(count, [&](std::int64_t task) {
    T* du = partials.mutable_data<T>() + task * size;
    std::fill_n(du, size, T{0});
    const GradientScratch<T> scratch(chunk, e);
    const std::int64_t last = std::min(e.n, (task + 1) * group) * grid.per_sample();
    for (std::int64_t begin = task * group * grid.per_sample(); begin < last; begin += chunk) {
      const std::int64_t end = std::min(last, begin + chunk);
      transform_inputs(x, grid, e.in, begin, end, zeros, scratch.v.template mutable_data<T>(),
                       point_step<T>(end - begin, e.in));
      transform_gradients(dout, grid, e.out, begin, end, zeros, scratch.dm.template mutable_data<T>(),
                          point_step<T>(end - begin, e.out));
      for (std::int64_t point = 0; point < kWinogradPoints; ++point) {
        scratch.accumulate(e, point, end - begin, 0, e.out, du + point * e.out * e.in);
      }
    }
  });
  const Tensor du({size}, dtype_of<T>);
  sum_partials(partials.data<T>(), count, size, du.mutable_data<T>());
  write_weight_gradient(e, du.data<T>(), dweight);
}

/// V and dM of `count` tiles from `first` on, by all threads.
template <class T>
void transform_group(const ConvExtents& e, const T* x, const T* dout, const T* zeros, const GradientScratch<T>& scratch,
                     std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kTiles = 16;
  const TileGrid grid(e.f, e.t);
  parallel_ranges(count, kTiles, [&](std::int64_t begin, std::int64_t end) {
    T* v = scratch.v.template mutable_data<T>() + begin * e.in;
    T* dm = scratch.dm.template mutable_data<T>() + begin * e.out;
    transform_inputs(x, grid, e.in, first + begin, first + end, zeros, v, point_step<T>(count, e.in));
    transform_gradients(dout, grid, e.out, first + begin, first + end, zeros, dm, point_step<T>(count, e.out));
  });
}

/// Many channels: all threads transform a group of samples, then share out the points and output channels.
template <class T>
void gradient_by_points(const ConvExtents& e, const T* x, const T* dout, const T* zeros, T* dweight) {
  constexpr std::int64_t kOutputs = 64;
  const TileGrid grid(e.f, e.t);
  const Tensor du = Tensor::zeros({kWinogradPoints, e.out, e.in}, dtype_of<T>);
  const std::int64_t per_sample =
      kWinogradPoints * grid.per_sample() * (e.in + e.out) * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t group = std::clamp<std::int64_t>(kGroupBytes / per_sample, 1, e.n);
  const GradientScratch<T> scratch(group * grid.per_sample(), e);
  const std::int64_t parts = (e.out + kOutputs - 1) / kOutputs;
  for (std::int64_t n0 = 0; n0 < e.n; n0 += group) {
    const std::int64_t count = (std::min(e.n, n0 + group) - n0) * grid.per_sample();
    const std::int64_t first = n0 * grid.per_sample();
    transform_group(e, x, dout, zeros, scratch, first, count);
    parallel_for(kWinogradPoints * parts, [&](std::int64_t task) {
      const std::int64_t point = task / parts;
      const std::int64_t o0 = task % parts * kOutputs;
      scratch.accumulate(e, point, count, o0, std::min(e.out, o0 + kOutputs),
                         du.mutable_data<T>() + point * e.out * e.in);
    });
  }
  write_weight_gradient(e, du.data<T>(), dweight);
}

}  // namespace

bool winograd_pays(const ConvExtents& e) {
  const ConvOptions centred = ConvOptions::centred(3, 3, 1, 1);
  if (e.kernel_f != 3 || e.kernel_t != 3 || !(e.options == centred) || std::min(e.in, e.out) < kLeastChannels) {
    return false;
  }
  // With 4/5 of the products a tie: the transforms take the rest.
  const TileGrid grid(e.f, e.t);
  const std::int64_t direct = (3 * e.f - 2) * (3 * e.t - 2);  // taps outside the map are skipped
  return 5 * kWinogradPoints * grid.per_sample() < 4 * direct;
}

bool winograd_pays_for_weights(const ConvExtents& e) {
  return winograd_pays(e) && std::min(e.in, e.out) >= kLeastGradientChannels;
}

template <class T>
Panels<T> winograd_forward_panels(const Tensor& weight) {
  const Tensor u = transformed_weight<T>(weight, false);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p(kWinogradPoints, in, weight.dim(0), in);
  p.fill(u.data<T>(), in, 1, kWinogradPoints * in);
  return p;
}

template <class T>
Panels<T> winograd_backward_panels(const Tensor& weight) {
  const Tensor u = transformed_weight<T>(weight, true);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p(kWinogradPoints, weight.dim(0), in, weight.dim(0));
  p.fill(u.data<T>(), in, kWinogradPoints * in, 1);
  return p;
}

template <class T>
void winograd_convolve(const WinogradMap<T>& map, const Panels<T>& panels) {
  const TileGrid grid(map.f, map.t);
  const std::int64_t tiles = map.n * grid.per_sample();
  const Tensor zeros = Tensor::zeros({panels.depth}, dtype_of<T>);
  const std::int64_t chunk =
      tiles_per_chunk(kWinogradPoints * (panels.depth + panels.columns) * static_cast<std::int64_t>(sizeof(T)));
  parallel_ranges(tiles, std::min(chunk, std::max<std::int64_t>(tiles, 1)), [&](std::int64_t begin, std::int64_t end) {
    const Tensor v({kWinogradPoints, point_step<T>(end - begin, panels.depth)}, dtype_of<T>);
    const Tensor m({kWinogradPoints, point_step<T>(end - begin, panels.columns)}, dtype_of<T>);
    transform_inputs(map.source, grid, panels.depth, begin, end, zeros.data<T>(), v.mutable_data<T>(),
                     point_step<T>(end - begin, panels.depth));
    with_tile_vectors(panels.vectors,
                      [&]<int V>() { multiply_points<T, V>(panels, v.data<T>(), m.mutable_data<T>(), end - begin); });
    transform_outputs(map, grid, panels.columns, begin, end, m.data<T>());
  });
}

template <class T>
void winograd_weight_gradient(const ConvExtents& e, const T* x, const T* dout, T* dweight) {
  const Tensor zeros = Tensor::zeros({std::max(e.in, e.out)}, dtype_of<T>);
  if (e.in * e.out <= kPartialChannels) {
    gradient_by_samples(e, x, dout, zeros.data<T>(), dweight);
  } else {
    gradient_by_points(e, x, dout, zeros.data<T>(), dweight);
  }
}

template Panels<float> winograd_forward_panels<float>(const Tensor&);
template Panels<double> winograd_forward_panels<double>(const Tensor&);
template Panels<float> winograd_backward_panels<float>(const Tensor&);
template Panels<double> winograd_backward_panels<double>(const Tensor&);
template void winograd_convolve(const WinogradMap<float>&, const Panels<float>&);
template void winograd_convolve(const WinogradMap<double>&, const Panels<double>&);
template void winograd_weight_gradient(const ConvExtents&, const float*, const float*, float*);
template void winograd_weight_gradient(const ConvExtents&, const double*, const double*, double*);

}  // namespace earmark::kernels::cpu
