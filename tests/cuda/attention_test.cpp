// Attention at the sizes of an encoder's blocks, and of a slab that shared memory cannot hold, with all that may come
// before it: the GPU errs at most twice as much as the CPU does in float.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/compute_type.h"
#include "kernels/spectral_temporal_attention.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

struct Attended {
  Shape x;
  bool prologue = false;
  bool residual = false;
  DType stored = DType::f32;  // of the maps
};

void PrintTo(const Attended& a, std::ostream* out) {
  *out << a.x << (a.prologue ? ", prologue" : "") << (a.residual ? ", residual" : "") << ", " << name_of(a.stored);
}

/// Everything that both passes write, brought to the CPU in double. Computed as the case says, or in double on the same
/// numbers, which are the seed's.
std::vector<Tensor> results(const Attended& size, std::uint64_t seed, bool exact, Device device) {
  const DType map_type = exact ? DType::f64 : size.stored;
  const DType dtype = compute_type(map_type);
  const std::int64_t channels = size.x[3];
  std::uint64_t stream = 0;
  const auto input = [&](const Shape& shape, Domain domain = Domain::normal) {
    return draw(shape, domain, DType::f32, seed, stream++).to(dtype).to(device);
  };
  // Of logits of ordinary size: those of a large slab would otherwise leave one row and one column with all the weight,
  // and their gradient with nothing but rounding.
  const auto weight = [&](std::int64_t extent) {
    const Tensor w = draw({channels, extent}, Domain::normal, DType::f32, seed, stream++);
    float* values = w.mutable_data<float>();
    std::for_each(values, values + w.numel(), [&](float& v) { v /= std::sqrt(static_cast<float>(extent)); });
    return w.to(dtype).to(device);
  };
  const auto map = [&] { return draw(size.x, Domain::normal, size.stored, seed, stream++).to(map_type).to(device); };
  const auto written = [&](const Shape& shape) { return Tensor(shape, dtype, device); };
  const auto written_map = [&] { return Tensor(size.x, map_type, device); };
  kernels::AttentionForward f{.x = map(),
                              .w_spectral = weight(size.x[2]),
                              .w_temporal = weight(size.x[1]),
                              .scale = static_cast<double>(size.x[1] * size.x[2]),
                              .out = written_map(),
                              .spectral = written({size.x[0], size.x[1], channels}),
                              .temporal = written({size.x[0], size.x[2], channels})};
  const Tensor dout = map();
  if (size.prologue) {
    f.prologue = {input({channels}, Domain::positive), input({channels}), size.residual ? map() : Tensor()};
  }
  kernels::spectral_temporal_attention_forward(f);
  kernels::AttentionBackward b{.forward = f,
                               .dout = dout,
                               .dx = written_map(),
                               .dw_spectral = written({channels, size.x[2]}),
                               .dw_temporal = written({channels, size.x[1]})};
  std::vector<Tensor> all{f.out, f.spectral, f.temporal, b.dx, b.dw_spectral, b.dw_temporal};
  if (size.prologue) {
    b.centre = input({channels});
    b.dx_sum = written({channels});
    b.dx_product = written({channels});
    all.insert(all.end(), {b.dx_sum, b.dx_product});
  }
  kernels::spectral_temporal_attention_backward(b);
  std::transform(all.begin(), all.end(), all.begin(), [](const Tensor& t) { return t.to(Device{}).to(DType::f64); });
  return all;
}

/// The largest difference, and the largest magnitude of what is right.
std::pair<double, double> error_of(const Tensor& got, const Tensor& want) {
  double error = 0;
  double magnitude = 0;
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    error = std::max(error, std::abs(got.data<double>()[i] - want.data<double>()[i]));
    magnitude = std::max(magnitude, std::abs(want.data<double>()[i]));
  }
  return {error, magnitude};
}

class GpuAttention : public GpuTestWithParam<Attended> {};

/// How far a result is off, over several draws: where a result has few values, as the sums over a slab have, one draw
/// may leave either side next to nothing to err by.
struct Accuracy {
  double cpu = 0;
  double gpu = 0;
  double magnitude = 0;
};

std::vector<Accuracy> accuracies(const Attended& size) {
  constexpr std::uint64_t kDraws = 3;
  std::vector<Accuracy> all;
  for (std::uint64_t seed = 21; seed < 21 + kDraws; ++seed) {
    const std::vector<Tensor> right = results(size, seed, true, Device{});
    const std::vector<Tensor> cpu = results(size, seed, false, Device{});
    const std::vector<Tensor> gpu = results(size, seed, false, kGpu);
    all.resize(right.size());
    for (std::size_t i = 0; i < right.size(); ++i) {
      const auto [error, magnitude] = error_of(gpu[i], right[i]);
      all[i].gpu = std::max(all[i].gpu, error);
      all[i].cpu = std::max(all[i].cpu, error_of(cpu[i], right[i]).first);
      all[i].magnitude = std::max(all[i].magnitude, magnitude);
    }
  }
  return all;
}

TEST_P(GpuAttention, ErrsAtMostTwiceAsMuchAsTheCpu) {
  constexpr double kRounding = 4e-7;  // of the largest value: what float cannot tell
  const std::vector<Accuracy> all = accuracies(GetParam());
  ASSERT_EQ(all.size(), GetParam().prologue ? 8U : 6U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_LE(all[i].gpu, 2 * all[i].cpu + kRounding * all[i].magnitude) << "result " << i;
    EXPECT_GT(all[i].magnitude, 0) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, GpuAttention,
                         ::testing::Values(Attended{{2, 64, 96, 8}}, Attended{{1, 64, 96, 12}, true},
                                           Attended{{2, 32, 48, 9}, true, true}, Attended{{3, 2, 3, 70}, true, true},
                                           Attended{{1, 200, 300, 3}, true, true}, Attended{{1, 250, 240, 2}},
                                           Attended{{1, 64, 96, 16}, true, true, DType::bf16},
                                           Attended{{2, 32, 48, 24}, false, false, DType::bf16},
                                           Attended{{1, 16, 24, 9}, true, false, DType::bf16},
                                           Attended{{3, 2, 3, 72}, true, true, DType::bf16},
                                           Attended{{1, 200, 300, 4}, true, true, DType::bf16}));

TEST_F(GpuTest, AttentionInDoubleIsRefused) {
  const Tensor x({1, 2, 2, 1}, DType::f64, kGpu);
  const kernels::AttentionForward f{.x = x,
                                    .w_spectral = Tensor({1, 2}, DType::f64, kGpu),
                                    .w_temporal = Tensor({1, 2}, DType::f64, kGpu),
                                    .out = empty_like(x),
                                    .spectral = Tensor({1, 2, 1}, DType::f64, kGpu),
                                    .temporal = Tensor({1, 2, 1}, DType::f64, kGpu)};
  EXPECT_THROW(kernels::spectral_temporal_attention_forward(f), Error);
}

}  // namespace
}  // namespace earmark::testing
