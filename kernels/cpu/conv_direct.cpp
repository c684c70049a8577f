#include "kernels/cpu/conv_direct.h"

#include <algorithm>
#include <array>

#include "kernels/cpu/conv_tile.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kDepthChunk = 128;   // 9 taps * 128 * 64 columns * 4 bytes = 288 KiB: a panel stays in L2
constexpr std::int64_t kRowsPerTask = 768;  // amortises one read of a panel

// Rows of a tile with V vectors of columns, so that accumulators, V weights and one broadcast fit the registers.
template <int V>
constexpr int kTileRows = kVectorRegisters == 32 ? (V == 4   ? 6
                                                    : V == 2 ? 10
                                                             : 12)
                                                 : (V == 2 ? 4 : 6);

constexpr int kWidestTile = kVectorRegisters == 32 ? 4 : 2;

template <class T>
int tile_vectors(std::int64_t columns) {
  const auto vectors = static_cast<int>((columns + kLanes<T> - 1) / kLanes<T>);
  return vectors > 2 ? kWidestTile : std::min(vectors, kWidestTile);
}

template <class T>
std::int64_t block_columns(const Panels<T>& p) {
  return std::int64_t{p.vectors} * kLanes<T>;
}

template <class T>
Panels<T> empty_panels(std::int64_t taps, std::int64_t depth, std::int64_t columns) {
  Panels<T> p{{}, taps, depth, columns, tile_vectors<T>(columns)};
  const std::int64_t blocks = (columns + block_columns(p) - 1) / block_columns(p);
  p.data = Tensor({blocks, taps * depth, block_columns(p)}, dtype_of<T>);
  return p;
}

/// One depth x width piece of a panel from weights whose element (k, column) sits at k * k_step + column * column_step.
/// Squares of 16 x 16, so that both sides stay in L1 whichever of them is contiguous.
template <class T>
void pack_piece(const T* weight, std::int64_t k_step, std::int64_t column_step, std::int64_t depth, std::int64_t valid,
                std::int64_t width, T* to) {
  constexpr std::int64_t kSquare = 16;
  for (std::int64_t c0 = 0; c0 < valid; c0 += kSquare) {
    const std::int64_t c1 = std::min(valid, c0 + kSquare);
    for (std::int64_t k0 = 0; k0 < depth; k0 += kSquare) {
      const std::int64_t k1 = std::min(depth, k0 + kSquare);
      for (std::int64_t c = c0; c < c1; ++c) {
        for (std::int64_t k = k0; k < k1; ++k) {
          to[k * width + c] = weight[k * k_step + c * column_step];
        }
      }
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    std::fill(to + k * width + valid, to + (k + 1) * width, T{0});
  }
}

/// Fills panels from weights whose element (tap, k, column) sits at tap * tap_step + k * k_step + column * column_step.
template <class T>
void pack(const Panels<T>& p, const T* weight, std::int64_t tap_step, std::int64_t k_step, std::int64_t column_step) {
  const std::int64_t width = block_columns(p);
  T* data = p.data.template mutable_data<T>();
  parallel_for(p.data.dim(0), [&](std::int64_t block) {
    T* at = data + block * p.taps * p.depth * width;
    const std::int64_t valid = std::min(width, p.columns - block * width);
    for (std::int64_t k0 = 0; k0 < p.depth; k0 += kDepthChunk) {
      const std::int64_t depth = std::min(kDepthChunk, p.depth - k0);
      for (std::int64_t tap = 0; tap < p.taps; ++tap) {
        const T* from = weight + tap * tap_step + k0 * k_step + block * width * column_step;
        pack_piece(from, k_step, column_step, depth, valid, width, at);
        at += depth * width;
      }
    }
  });
}

/// The pixels [begin, end) of a class, counted over the samples of a task, R at a time.
template <class T, int R, int V>
struct TileLoop {
  const Walk<T>& walk;
  const PixelClass& pixels;
  const T* panel;
  std::int64_t depth;
  std::int64_t k0;
  TileStore<T> store;

  template <int Rows>
  std::int64_t run(std::int64_t begin, std::int64_t end) const {
    const auto per_sample = static_cast<std::int64_t>(pixels.source.size());
    std::int64_t n = begin / per_sample;
    std::int64_t p = begin % per_sample;
    std::array<std::int64_t, Rows> source;
    std::array<std::int64_t, Rows> target;
    for (; begin + Rows <= end; begin += Rows) {
      for (int r = 0; r < Rows; ++r) {
        source[static_cast<std::size_t>(r)] = n * walk.source_sample + pixels.source[static_cast<std::size_t>(p)] + k0;
        target[static_cast<std::size_t>(r)] = n * walk.target_sample + pixels.target[static_cast<std::size_t>(p)];
        if (++p == per_sample) {
          p = 0;
          ++n;
        }
      }
      multiply_tile<T, Rows, V>(walk.source, source.data(), pixels.taps, depth, panel, target.data(), store);
    }
    return begin;
  }

  void all(std::int64_t begin, std::int64_t end) const {
    begin = run<R>(begin, end);
    if constexpr (R > 3) {
      begin = run<3>(begin, end);
    }
    run<1>(begin, end);
  }
};

/// One task: samples [n0, n1), one block of columns.
template <class T, int V>
void walk_block(const Walk<T>& w, const std::vector<PixelClass>& classes, const Panels<T>& panels, std::int64_t block,
                std::int64_t n0, std::int64_t n1) {
  const std::int64_t width = block_columns(panels);
  const T* panel = panels.data.template data<T>() + block * panels.taps * panels.depth * width;
  const std::int64_t first = block * width;
  TileStore<T> store{w.target + first,
                     w.bias == nullptr ? nullptr : w.bias + first,
                     nullptr,
                     false,
                     false,
                     static_cast<int>(std::min(width, panels.columns - first))};
  for (std::int64_t k0 = 0; k0 < panels.depth; k0 += kDepthChunk) {
    const std::int64_t depth = std::min(kDepthChunk, panels.depth - k0);
    if (k0 + depth == panels.depth) {
      store.add = w.add == nullptr ? nullptr : w.add + first;
      store.relu = w.relu;
    }
    for (const PixelClass& c : classes) {
      const auto pixels = static_cast<std::int64_t>(c.source.size());
      TileLoop<T, kTileRows<V>, V>{w, c, panel, depth, k0, store}.all(n0 * pixels, n1 * pixels);
    }
    panel += panels.taps * depth * width;
    store.accumulate = true;
    store.bias = nullptr;
  }
}

}  // namespace

template <class T>
Panels<T> pack_forward(const Tensor& weight) {
  const std::int64_t taps = weight.dim(1) * weight.dim(2);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p = empty_panels<T>(taps, in, weight.dim(0));
  pack(p, weight.data<T>(), in, 1, taps * in);
  return p;
}

template <class T>
Panels<T> pack_backward(const Tensor& weight) {
  const std::int64_t taps = weight.dim(1) * weight.dim(2);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p = empty_panels<T>(taps, weight.dim(0), in);
  pack(p, weight.data<T>(), in, taps * in, 1);
  return p;
}

template <class T>
void run_walk(const Walk<T>& w, const std::vector<PixelClass>& classes, const Panels<T>& panels) {
  std::int64_t pixels = 0;
  for (const PixelClass& c : classes) {
    pixels += static_cast<std::int64_t>(c.source.size());
  }
  const std::int64_t blocks = panels.data.dim(0);
  const std::int64_t group = std::clamp<std::int64_t>(kRowsPerTask / std::max<std::int64_t>(pixels, 1), 1, w.samples);
  const std::int64_t groups = (w.samples + group - 1) / group;
  parallel_for(groups * blocks, [&](std::int64_t task) {
    const std::int64_t n0 = task / blocks * group;
    const std::int64_t n1 = std::min(w.samples, n0 + group);
    switch (panels.vectors) {
      case 1:
        return walk_block<T, 1>(w, classes, panels, task % blocks, n0, n1);
      case 2:
        return walk_block<T, 2>(w, classes, panels, task % blocks, n0, n1);
      default:
        return walk_block<T, kWidestTile>(w, classes, panels, task % blocks, n0, n1);
    }
  });
}

template Panels<float> pack_forward<float>(const Tensor&);
template Panels<double> pack_forward<double>(const Tensor&);
template Panels<float> pack_backward<float>(const Tensor&);
template Panels<double> pack_backward<double>(const Tensor&);
template void run_walk(const Walk<float>&, const std::vector<PixelClass>&, const Panels<float>&);
template void run_walk(const Walk<double>&, const std::vector<PixelClass>&, const Panels<double>&);

}  // namespace earmark::kernels::cpu
