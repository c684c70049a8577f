// Convolutions of float maps whose operands are rounded to bf16 and multiplied in pairs (bf16_pairs.h); sums are float.
// They are direct convolutions of half as many channels, each of them a pair: the walks of conv_direct.h with another
// product. Also where Winograd's would have 2.25 times fewer products: these have no transforms, and lose nothing to
// rounding after one. Gradients of the weights stay in float.
// Floor: one read of the map, and of its pairs for each block of 64 columns, one write of the result; multiply-adds at
// half of AVX-512's time.
#pragma once

#include <memory>

#include "kernels/cpu/conv_plan.h"
#include "kernels/cpu/conv_tiles.h"
#include "kernels/tensor.h"

namespace earmark::kernels::cpu {

/// Whether this processor multiplies pairs in one instruction: they are quicker than floats.
bool has_bf16_pairs();
/// Whether pairs pay for this convolution: a function of channels, never of the batch.
bool bf16_pairs_pay(const ConvExtents& e);

/// A walk over targets made ready: pixels, and weights in pairs.
struct Bf16PairWalk;
std::shared_ptr<const Bf16PairWalk> bf16_pair_forward(const ConvExtents& e, const Tensor& weight);
std::shared_ptr<const Bf16PairWalk> bf16_pair_backward(const ConvExtents& e, const Tensor& weight);

/// target = walk(source); overwritten.
void bf16_pair_convolve(const TileMap& map, const Bf16PairWalk& walk);

}  // namespace earmark::kernels::cpu
