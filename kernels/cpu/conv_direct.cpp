#include "kernels/cpu/conv_direct.h"

#include "kernels/cpu/bf16_pairs.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kDepthChunk = 128;     // 9 taps * 128 * 64 columns * 4 bytes = 288 KiB: a panel stays in L2
constexpr std::int64_t kPixelsPerTask = 768;  // amortises one read of a panel

/// Depth [k0, k0 + depth) of every tap. Taps that are neighbours in the source and in the panel are joined: a row of
/// three taps of few channels makes one long inner loop.
std::vector<Run> runs_of(const PixelClass& c, std::int64_t depth, std::int64_t k0) {
  std::vector<Run> runs;
  for (const PixelClass::Tap& tap : c.taps) {
    const Run run{tap.index * depth, tap.offset + k0, depth};
    const bool joins = !runs.empty() && runs.back().k + runs.back().length == run.k &&
                       runs.back().offset + runs.back().length == run.offset;
    if (joins) {
      runs.back().length += depth;
    } else {
      runs.push_back(run);
    }
  }
  return runs;
}

/// The pixels [begin, end) of a class, counted over the samples of a task, R at a time.
template <class T, int R, int V, class Products>
struct TileLoop {
  const Walk<T>& walk;
  const PixelClass& pixels;
  std::span<const Run> runs;
  const T* panel;
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
        source[static_cast<std::size_t>(r)] = n * walk.source_sample + pixels.source[static_cast<std::size_t>(p)];
        target[static_cast<std::size_t>(r)] = n * walk.target_sample + pixels.target[static_cast<std::size_t>(p)];
        if (++p == per_sample) {
          p = 0;
          ++n;
        }
      }
      multiply_tile<T, Rows, V, Products>(walk.source, source.data(), runs, panel, target.data(), store);
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
template <class T, int V, class Products>
void walk_block(const Walk<T>& w, const std::vector<PixelClass>& classes, const Panels<T>& panels, std::int64_t block,
                std::int64_t n0, std::int64_t n1) {
  const T* panel = panels.block(block);
  const std::int64_t first = block * panels.width();
  TileStore<T> store{w.target + first,           w.bias == nullptr ? nullptr : w.bias + first, nullptr, false, false,
                     panels.valid_columns(block)};
  for (std::int64_t k0 = 0; k0 < panels.depth; k0 += panels.chunk) {
    const std::int64_t depth = std::min(panels.chunk, panels.depth - k0);
    if (k0 + depth == panels.depth) {
      store.add = w.add == nullptr ? nullptr : w.add + first;
      store.relu = w.relu;
    }
    for (const PixelClass& c : classes) {
      const auto pixels = static_cast<std::int64_t>(c.source.size());
      const std::vector<Run> runs = runs_of(c, depth, k0);
      TileLoop<T, kTileRows<V>, V, Products>{w, c, runs, panel, store}.all(n0 * pixels, n1 * pixels);
    }
    panel += panels.taps * depth * panels.width();
    store.accumulate = true;
    store.bias = nullptr;
  }
}

}  // namespace

template <class T>
Panels<T> pack_forward(const Tensor& weight) {
  const std::int64_t taps = weight.dim(1) * weight.dim(2);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p(taps, in, weight.dim(0), kDepthChunk);
  p.fill(weight.data<T>(), in, 1, taps * in);
  return p;
}

template <class T>
Panels<T> pack_backward(const Tensor& weight) {
  const std::int64_t taps = weight.dim(1) * weight.dim(2);
  const std::int64_t in = weight.dim(3);
  const Panels<T> p(taps, weight.dim(0), in, kDepthChunk);
  p.fill(weight.data<T>() + (taps - 1) * in, -in, taps * in, 1);
  return p;
}

template <class T>
void run_walk(const Walk<T>& w, const std::vector<PixelClass>& classes, const Panels<T>& panels) {
  std::int64_t pixels = 0;
  for (const PixelClass& c : classes) {
    pixels += static_cast<std::int64_t>(c.source.size());
  }
  const std::int64_t blocks = panels.blocks();
  const std::int64_t group = std::clamp<std::int64_t>(kPixelsPerTask / std::max<std::int64_t>(pixels, 1), 1, w.samples);
  const std::int64_t groups = (w.samples + group - 1) / group;
  parallel_for(groups * blocks, [&](std::int64_t task) {
    const std::int64_t n0 = task / blocks * group;
    const std::int64_t n1 = std::min(w.samples, n0 + group);
    with_tile_vectors(panels.vectors, [&]<int V>() {
      if constexpr (std::is_same_v<T, float>) {
        if (w.bf16_pairs) {
          return walk_block<T, V, Bf16PairProducts>(w, classes, panels, task % blocks, n0, n1);
        }
      }
      walk_block<T, V, FloatProducts>(w, classes, panels, task % blocks, n0, n1);
    });
  });
}

template Panels<float> pack_forward<float>(const Tensor&);
template Panels<double> pack_forward<double>(const Tensor&);
template Panels<float> pack_backward<float>(const Tensor&);
template Panels<double> pack_backward<double>(const Tensor&);
template void run_walk(const Walk<float>&, const std::vector<PixelClass>&, const Panels<float>&);
template void run_walk(const Walk<double>&, const std::vector<PixelClass>&, const Panels<double>&);

}  // namespace earmark::kernels::cpu
