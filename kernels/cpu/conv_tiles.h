// Convolutions of float maps whose operands are rounded to bf16 for the tile unit (tile_unit.h); sums are float. No
// Winograd: its products would be rounded after a transform that cancels, and multiplying is no longer what takes time.
// A map is rounded once, into planes with zeros around it, one for each position modulo the stride. There all pixels
// that a tap meets lie one pixel apart, also from a row to the next: a tile's rows are 16 neighbours, and the few of
// them that fall on the padding at a row's end are computed for nothing. Forward, and the gradient of the input (whose
// targets, not sources, are taken modulo the stride), are one walk; the gradient of the weights sums over the same
// planes, transposed.
// Floor: one read of the map, one write of the result; multiply-adds at a thirtieth of AVX-512's time.
#pragma once

#include <memory>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/tile_unit.h"

namespace earmark::kernels::cpu {

/// Where a kernel position finds its source: in which plane, and how far from the target's place.
struct PlaneTap {
  int kernel;
  int plane;
  std::int64_t shift;
};

/// Targets along one axis whose taps have the same shifts: origin, origin + step, ...
struct AxisPhase {
  std::int64_t origin;
  std::int64_t count;
  std::vector<PlaneTap> taps;  // by plane, then by shift
};

/// One axis of the planes of a source, and of the targets.
struct PlaneAxis {
  std::int64_t planes;  // source position i is at (i + pad) / planes of plane (i + pad) % planes
  std::int64_t pad;
  std::int64_t extent;  // of the source
  std::int64_t length;  // of a plane
  std::int64_t step;    // between targets of a phase
  std::vector<AxisPhase> phases;
};
PlaneAxis forward_axis(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride, int pad);
PlaneAxis backward_axis(std::int64_t inputs, std::int64_t outputs, std::int64_t kernel, int stride, int pad);

/// Whether tiles pay for this convolution: a function of channels and extents, never of the batch.
bool tiles_pay(const ConvExtents& e);
/// The same for the gradient of the weights.
bool tiles_pay_for_weights(const ConvExtents& e);

/// A walk over targets made ready: planes of the source, taps, and weights in tiles.
struct TileWalk;
std::shared_ptr<const TileWalk> tile_forward(const ConvExtents& e, const float* weight);
std::shared_ptr<const TileWalk> tile_backward(const ConvExtents& e, const float* weight);

/// target = walk(source); overwritten.
struct TileMap {
  const float* source;
  float* target;
  std::int64_t samples;
  const float* bias;  // per column, or null
  const float* add;   // like target, or null
  bool relu;
};
void tile_convolve(const TileMap& map, const TileWalk& walk);

/// dweight (O, Kf, Kt, I), overwritten.
void tile_weight_gradient(const ConvExtents& e, const float* x, const float* dout, float* dweight);

}  // namespace earmark::kernels::cpu
