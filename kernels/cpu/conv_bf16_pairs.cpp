#include "kernels/cpu/conv_bf16_pairs.h"

#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_pairs.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kLeastPairChannels = 8;
constexpr std::int64_t kPairsPerTask = 16384;

Bf16Bits* bits_of(float* pairs) { return reinterpret_cast<Bf16Bits*>(pairs); }

/// Neighbours in pairs: half as many.
Tensor pairs_of(const float* from, std::int64_t elements) {
  const Tensor pairs({elements / 2});
  float* to = pairs.mutable_data<float>();
  parallel_ranges(elements / 2, kPairsPerTask, [&](std::int64_t begin, std::int64_t end) {
    round_row(from + 2 * begin, 2 * (end - begin), bits_of(to + begin));
  });
  return pairs;
}

/// Weights (O, Kf, Kt, I), pairs along I: (O, Kf, Kt, I / 2).
Tensor input_pairs(const Tensor& weight) {
  return pairs_of(weight.data<float>(), weight.numel())
      .reshape({weight.dim(0), weight.dim(1), weight.dim(2), weight.dim(3) / 2});
}

/// Weights (O, Kf, Kt, I), pairs along O: (O / 2, Kf, Kt, I).
Tensor output_pairs(const Tensor& weight) {
  const Tensor pairs({weight.dim(0) / 2, weight.dim(1), weight.dim(2), weight.dim(3)});
  const std::int64_t row = weight.numel() / weight.dim(0);
  parallel_for(pairs.dim(0), [&](std::int64_t o) {
    const float* first = weight.data<float>() + 2 * o * row;
    round_interleaved(first, first + row, row, bits_of(pairs.mutable_data<float>() + o * row));
  });
  return pairs;
}

}  // namespace

struct Bf16PairWalk {
  std::vector<PixelClass> classes;
  Panels<float> panels;
  std::int64_t source;  // floats of a sample
  std::int64_t target;
  std::int64_t columns;
  bool two_outputs;  // conv_pairs.h
};

bool has_bf16_pairs() {
#if defined(__AVX512BF16__)
  return true;
#else
  return false;
#endif
}

bool bf16_pairs_pay(const ConvExtents& e) {
  return std::min(e.in, e.out) >= kLeastPairChannels && e.in % 2 == 0 && e.out % 2 == 0;
}

std::shared_ptr<const Bf16PairWalk> bf16_pair_forward(const ConvExtents& e, const Tensor& weight) {
  ConvExtents halved = e;
  halved.in = e.in / 2;
  const bool two = pairs_fit<float>(e);
  return std::make_shared<Bf16PairWalk>(
      Bf16PairWalk{forward_pixels(two ? paired_extents(halved) : halved),
                   pack_forward<float>(input_pairs(two ? paired_weight<float>(weight, e.options.stride_t) : weight)),
                   e.f * e.t * e.in, e.out_f * e.out_t * e.out, e.out, two});
}

std::shared_ptr<const Bf16PairWalk> bf16_pair_backward(const ConvExtents& e, const Tensor& weight) {
  ConvExtents halved = e;
  halved.out = e.out / 2;
  return std::make_shared<Bf16PairWalk>(Bf16PairWalk{backward_pixels(halved),
                                                     pack_backward<float>(output_pairs(weight)),
                                                     e.out_f * e.out_t * e.out, e.f * e.t * e.in, e.in, false});
}

void bf16_pair_convolve(const TileMap& map, const Bf16PairWalk& walk) {
  const Tensor source = pairs_of(map.source, map.samples * walk.source);
  const PairedBias<float> twice(walk.two_outputs ? map.bias : nullptr, walk.columns);
  run_walk<float>({source.data<float>(), walk.source / 2, map.target, walk.target, map.samples,
                   walk.two_outputs ? twice.data() : map.bias, map.add, map.relu, true},
                  walk.classes, walk.panels);
}

}  // namespace earmark::kernels::cpu
