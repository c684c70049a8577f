#include "kernels/cpu/conv_tiles.h"

#include <algorithm>

#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/lanes.h"
#include "kernels/parallel.h"
#include "kernels/tensor.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kPlaneBytes = 512 << 10U;  // of the samples of a task: a quarter of L2, all weights pass over it
constexpr std::int64_t kSlabChunks = 12;          // of weights: 24 KB, half of L1, meet all rows of a task at a time
constexpr std::int64_t kRunTail = 64;             // elements that the last chunk of a run may reach beyond a sample

/// Elements of a tap's weights: (tap, k, column) sits at tap * tap_step + k * k_step + column * column_step.
struct WeightSteps {
  std::int64_t tap_step, k_step, column_step;
};

Bf16Bits* bits_of(const Tensor& t) { return reinterpret_cast<Bf16Bits*>(t.raw()); }

}  // namespace

/// Targets that share their taps, with the weights of these.
struct TilePhase {
  std::int64_t origin_f, origin_t, count_f, count_t;
  std::vector<std::int64_t> chunks;  // where the source of 32 products begins, from a target's place
  Tensor panels;                     // bf16 [block of columns][chunk][column tile][k / 2][column][k % 2]
};

struct TileWalk {
  PlaneAxis f, t;
  std::int64_t depth, columns, column_tiles, target_f, target_t;
  std::vector<TilePhase> phases;

  std::int64_t plane() const { return f.length * t.length * depth; }
  /// Of all planes, in whole lines of the cache.
  std::int64_t sample() const {
    return (f.planes * t.planes * plane() + kRunTail + kTileDepth - 1) / kTileDepth * kTileDepth;
  }
  std::int64_t block_columns() const { return column_tiles * kTileSide; }
  std::int64_t blocks() const { return (columns + block_columns() - 1) / block_columns(); }
};

namespace {

/// Taps that are neighbours in a plane: their channels are one run.
struct TapRun {
  std::int64_t source;             // first element, from a target's place
  std::vector<std::int64_t> taps;  // kernel_f * Kt + kernel_t
};

std::vector<TapRun> tap_runs(const TileWalk& w, const AxisPhase& f, const AxisPhase& t, std::int64_t kernel_t) {
  std::vector<TapRun> runs;
  for (const PlaneTap& row : f.taps) {
    const PlaneTap* before = nullptr;
    for (const PlaneTap& tap : t.taps) {
      if (before == nullptr || before->plane != tap.plane || before->shift + 1 != tap.shift) {
        const std::int64_t plane = row.plane * w.t.planes + tap.plane;
        runs.push_back({plane * w.plane() + (row.shift * w.t.length + tap.shift) * w.depth, {}});
      }
      runs.back().taps.push_back(row.kernel * kernel_t + tap.kernel);
      before = &tap;
    }
  }
  return runs;
}

/// The chunk of a run that begins at element k0, for the columns of a block.
void pack_chunk(const TileWalk& w, const TapRun& run, std::int64_t k0, std::int64_t block, const float* weight,
                const WeightSteps& s, Bf16Bits* to) {
  const auto length = static_cast<std::int64_t>(run.taps.size()) * w.depth;
  for (std::int64_t k = k0; k < std::min(length, k0 + kTileDepth); ++k) {
    const float* from = weight + run.taps[static_cast<std::size_t>(k / w.depth)] * s.tap_step + k % w.depth * s.k_step;
    for (std::int64_t c = 0; c < w.block_columns(); ++c) {
      const std::int64_t column = block * w.block_columns() + c;
      if (column < w.columns) {
        const std::int64_t row = (k - k0) / 2;
        to[c / kTileSide * kTileElements + (row * kTileSide + c % kTileSide) * 2 + k % 2] =
            rounded_bf16(from[column * s.column_step]);
      }
    }
  }
}

TilePhase make_phase(const TileWalk& w, const AxisPhase& f, const AxisPhase& t, std::int64_t kernel_t,
                     const float* weight, const WeightSteps& steps) {
  TilePhase phase{f.origin, t.origin, f.count, t.count, {}, {}};
  const std::vector<TapRun> runs = tap_runs(w, f, t, kernel_t);
  std::vector<std::pair<const TapRun*, std::int64_t>> pieces;
  for (const TapRun& run : runs) {
    const auto length = static_cast<std::int64_t>(run.taps.size()) * w.depth;
    for (std::int64_t k = 0; k < length; k += kTileDepth) {
      phase.chunks.push_back(run.source + k);
      pieces.emplace_back(&run, k);
    }
  }
  const std::int64_t chunk = w.column_tiles * kTileElements;
  const auto count = static_cast<std::int64_t>(pieces.size());
  phase.panels = Tensor::zeros({w.blocks() * count * chunk}, DType::bf16);
  parallel_for(w.blocks(), [&](std::int64_t block) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto& [run, k] = pieces[static_cast<std::size_t>(i)];
      pack_chunk(w, *run, k, block, weight, steps, bits_of(phase.panels) + (block * count + i) * chunk);
    }
  });
  return phase;
}

std::shared_ptr<const TileWalk> make_walk(PlaneAxis f, PlaneAxis t, std::int64_t depth, std::int64_t columns,
                                          const ConvExtents& target, const float* weight, const WeightSteps& steps) {
  auto w = std::make_shared<TileWalk>();
  w->f = std::move(f);
  w->t = std::move(t);
  w->depth = depth;
  w->columns = columns;
  w->column_tiles = columns <= kTileSide ? 1 : 2;
  w->target_f = target.f;
  w->target_t = target.t;
  for (const AxisPhase& row : w->f.phases) {
    for (const AxisPhase& column : w->t.phases) {
      w->phases.push_back(make_phase(*w, row, column, target.kernel_t, weight, steps));
    }
  }
  return w;
}

/// One sample of the source into its planes.
void fill_planes(const TileWalk& w, const float* source, Bf16Bits* planes) {
  std::fill_n(planes, w.sample(), Bf16Bits{0});
  for (std::int64_t f = 0; f < w.f.extent; ++f) {
    const std::int64_t row = (f + w.f.pad) / w.f.planes;
    if (row >= w.f.length) {
      continue;
    }
    const std::int64_t plane_f = (f + w.f.pad) % w.f.planes * w.t.planes;
    const float* from = source + f * w.t.extent * w.depth;
    if (w.t.planes == 1) {
      const std::int64_t pixels = std::min(w.t.extent, w.t.length - w.t.pad);
      round_row(from, pixels * w.depth, planes + plane_f * w.plane() + (row * w.t.length + w.t.pad) * w.depth);
      continue;
    }
    for (std::int64_t t = 0; t < w.t.extent; ++t) {
      const std::int64_t column = (t + w.t.pad) / w.t.planes;
      if (column < w.t.length) {
        const std::int64_t plane = plane_f + (t + w.t.pad) % w.t.planes;
        round_row(from + t * w.depth, w.depth, planes + plane * w.plane() + (row * w.t.length + column) * w.depth);
      }
    }
  }
}

/// Writes the rows of finished tiles that are targets.
class TileRowStore {
 public:
  TileRowStore(const TileMap& map, const TileWalk& w, const TilePhase& phase, std::int64_t sample, std::int64_t block)
      : map_(map),
        w_(w),
        phase_(phase),
        first_column_(block * w.block_columns()),
        valid_(std::min(w.block_columns(), w.columns - first_column_)),
        base_(sample * w.target_f * w.target_t * w.columns) {}

  void operator()(const float* sums, std::int64_t first_row, std::int64_t rows) const {
    std::int64_t f = first_row / w_.t.length;
    std::int64_t t = first_row % w_.t.length;
    for (std::int64_t r = 0; r < rows && f < phase_.count_f; ++r) {
      if (t < phase_.count_t) {
        const std::int64_t row = phase_.origin_f + f * w_.f.step;
        const std::int64_t column = phase_.origin_t + t * w_.t.step;
        store_row(sums + r * w_.block_columns(), base_ + (row * w_.target_t + column) * w_.columns + first_column_);
      }
      if (++t == w_.t.length) {
        t = 0;
        ++f;
      }
    }
  }

 private:
  void store_row(const float* sums, std::int64_t at) const {
    for (std::int64_t c = 0; c < valid_; c += kLanes<float>) {
      const auto valid = static_cast<int>(std::min<std::int64_t>(kLanes<float>, valid_ - c));
      Vec<float> v = load(sums + c);
      if (map_.bias != nullptr) {
        v += load_first(map_.bias + first_column_ + c, valid);
      }
      if (map_.add != nullptr) {
        v += load_first(map_.add + at + c, valid);
      }
      store_first<float>(map_.target + at + c, map_.relu ? relu<float>(v) : v, valid);
    }
  }

  const TileMap& map_;
  const TileWalk& w_;
  const TilePhase& phase_;
  std::int64_t first_column_;
  std::int64_t valid_;
  std::int64_t base_;
};

/// Rows of tiles that cover a phase's targets.
std::int64_t rows_of(const TileWalk& w, const TilePhase& phase) {
  return (phase.count_f - 1) * w.t.length + phase.count_t;
}

/// The sums of one phase, sample and block of columns over the chunks [c0, c1), 16 or 32 rows after another:
/// each(sums, first row, rows) tells where they go.
template <class Sums, class Done>
void walk_rows(const TileWalk& w, const TilePhase& phase, std::int64_t block, const Bf16Bits* planes, std::int64_t c0,
               std::int64_t c1, const Sums& sums_of, const Done& done) {
  const auto count = static_cast<std::int64_t>(phase.chunks.size());
  const std::int64_t rows = rows_of(w, phase);
  TileRows tile{};
  tile.row_step = w.depth;
  tile.chunks = phase.chunks.data() + c0;
  tile.count = c1 - c0;
  tile.panel = bits_of(phase.panels) + (block * count + c0) * w.column_tiles * kTileElements;
  tile.column_tiles = static_cast<int>(w.column_tiles);
  tile.accumulate = c0 > 0;
  for (std::int64_t row = 0; row < rows; row += tile.row_tiles * kTileSide) {
    tile.row_tiles = rows - row > kTileSide ? 2 : 1;
    tile.source = planes + row * w.depth;
    tile.out = sums_of(row);
    multiply_tile_rows(tile);
    done(tile.out, row, tile.row_tiles * kTileSide);
  }
}

/// Of one sample and block, in whole tiles.
std::int64_t sample_sums(const TileWalk& w, const TilePhase& phase) {
  return (rows_of(w, phase) + kTileSide) / kTileSide * kTileSide * w.block_columns();
}

/// Floats that the sums of a task of so many samples need: two tiles' where all weights are one slab.
std::int64_t sums_wanted(const TileWalk& w, std::int64_t samples) {
  std::int64_t wanted = 2 * kTileSide * w.block_columns();
  for (const TilePhase& phase : w.phases) {
    if (static_cast<std::int64_t>(phase.chunks.size()) > kSlabChunks) {
      wanted = std::max(wanted, samples * sample_sums(w, phase));
    }
  }
  return wanted;
}

/// One phase and block of columns of all samples of a task. `sums` has room for all their rows.
void walk_block(const TileMap& map, const TileWalk& w, const TilePhase& phase, std::int64_t block,
                const Bf16Bits* planes, std::int64_t n0, std::int64_t n1, float* sums) {
  const auto count = static_cast<std::int64_t>(phase.chunks.size());
  const bool whole = count <= kSlabChunks;
  for (std::int64_t c0 = 0; c0 < std::max<std::int64_t>(count, 1); c0 += kSlabChunks) {
    const std::int64_t c1 = std::min(count, c0 + kSlabChunks);
    for (std::int64_t n = n0; n < n1; ++n) {
      float* first = sums + (whole ? 0 : (n - n0) * sample_sums(w, phase));
      TileRowStore store_rows(map, w, phase, n, block);
      const auto sums_of = [&](std::int64_t row) { return whole ? first : first + row * w.block_columns(); };
      const auto done = [&](const float* ready, std::int64_t row, std::int64_t rows) {
        if (c1 == count) {
          store_rows(ready, row, rows);
        }
      };
      walk_rows(w, phase, block, planes + (n - n0) * w.sample(), c0, c1, sums_of, done);
    }
  }
}

void walk_samples(const TileMap& map, const TileWalk& w, std::int64_t n0, std::int64_t n1) {
  const std::int64_t beyond = 2 * kTileSide * w.depth;  // rows of the last tile that are no targets
  const Tensor rounded({(n1 - n0) * w.sample() + beyond}, DType::bf16);
  const Tensor sums({sums_wanted(w, n1 - n0)});
  Bf16Bits* planes = bits_of(rounded);
  const TileScope scope;
  for (std::int64_t n = n0; n < n1; ++n) {
    fill_planes(w, map.source + n * w.f.extent * w.t.extent * w.depth, planes + (n - n0) * w.sample());
  }
  for (const TilePhase& phase : w.phases) {
    for (std::int64_t block = 0; block < w.blocks(); ++block) {
      walk_block(map, w, phase, block, planes, n0, n1, sums.mutable_data<float>());
    }
  }
}

}  // namespace

PlaneAxis forward_axis(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride, int pad) {
  AxisPhase all{0, outputs, {}};
  for (int plane = 0; plane < stride; ++plane) {
    for (std::int64_t k = plane; k < kernel; k += stride) {
      all.taps.push_back({static_cast<int>(k), plane, k / stride});
    }
  }
  return {stride, pad, inputs, outputs + (kernel - 1) / stride, 1, {all}};
}

PlaneAxis backward_axis(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride, int pad) {
  const std::int64_t reach = (kernel - 1) / stride;
  PlaneAxis axis{1, reach, outputs, outputs + reach, stride, {}};
  for (int phase = 0; phase < stride; ++phase) {
    const std::int64_t origin = ((phase - pad) % stride + stride) % stride;
    if (origin >= inputs) {
      continue;
    }
    AxisPhase targets{origin, (inputs - 1 - origin) / stride + 1, {}};
    const std::int64_t first = (origin + pad) / stride;
    for (std::int64_t m = reach; m >= 0; --m) {
      if (phase + m * stride < kernel) {
        targets.taps.push_back({static_cast<int>(phase + m * stride), 0, first - m + reach});
        axis.length = std::max(axis.length, targets.count + first - m + reach);
      }
    }
    axis.phases.push_back(targets);
  }
  return axis;
}

bool tiles_pay(const ConvExtents& e) { return e.out >= 8 && e.in >= 8; }
bool tiles_pay_for_weights(const ConvExtents& e) { return e.out >= kTileSide && e.in >= kTileSide; }

std::shared_ptr<const TileWalk> tile_forward(const ConvExtents& e, const float* weight) {
  const ConvOptions& o = e.options;
  ConvExtents target = e;
  target.f = e.out_f;
  target.t = e.out_t;
  return make_walk(forward_axis(e.f, e.out_f, e.kernel_f, o.stride_f, o.pad_f.before),
                   forward_axis(e.t, e.out_t, e.kernel_t, o.stride_t, o.pad_t.before), e.in, e.out, target, weight,
                   {e.in, 1, e.kernel_f * e.kernel_t * e.in});
}

std::shared_ptr<const TileWalk> tile_backward(const ConvExtents& e, const float* weight) {
  const ConvOptions& o = e.options;
  return make_walk(backward_axis(e.f, e.out_f, e.kernel_f, o.stride_f, o.pad_f.before),
                   backward_axis(e.t, e.out_t, e.kernel_t, o.stride_t, o.pad_t.before), e.out, e.in, e, weight,
                   {e.in, e.kernel_f * e.kernel_t * e.in, 1});
}

void tile_convolve(const TileMap& map, const TileWalk& walk) {
  const std::int64_t bytes = walk.sample() * static_cast<std::int64_t>(sizeof(Bf16Bits));
  const std::int64_t grain = even_grain(map.samples, std::max<std::int64_t>(1, kPlaneBytes / bytes));
  parallel_ranges(map.samples, grain, [&](std::int64_t n0, std::int64_t n1) { walk_samples(map, walk, n0, n1); });
}

}  // namespace earmark::kernels::cpu
