// Layer normalisation where the op cases do not look: the borders between vectors and single elements, pieces of a
// sample and blocks of samples; large means; NaN.
#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/compute_type.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuLayerNorm : public GpuTest {};

/// Out, both statistics, and all three gradients.
std::vector<Tensor> results(const Tensor& x, const Tensor& gamma, const Tensor& dout, bool elu) {
  const Tensor beta = gamma;
  const kernels::LayerNormForward f{.x = x,
                                    .gamma = gamma,
                                    .beta = beta,
                                    .elu = elu,
                                    .out = empty_like(x),
                                    .mean = Tensor({x.dim(0)}, gamma.dtype(), x.device()),
                                    .inverse_deviation = Tensor({x.dim(0)}, gamma.dtype(), x.device())};
  kernels::layer_norm_forward(f);
  const kernels::LayerNormBackward b{
      .forward = f, .dout = dout, .dx = empty_like(x), .dgamma = empty_like(gamma), .dbeta = empty_like(gamma)};
  kernels::layer_norm_backward(b);
  return {f.out, f.mean, f.inverse_deviation, b.dx, b.dgamma, b.dbeta};
}

std::vector<Tensor> results(std::int64_t samples, std::int64_t size, DType maps, DType computed, Device device) {
  const DType beside = compute_type(computed);
  const auto map = [&](std::uint64_t seed) {
    return draw({samples, size}, Domain::normal, maps, seed).to(computed).to(device);
  };
  return results(map(1), draw({size}, Domain::positive, beside, 2).to(device), map(3), true);
}

/// Sizes around vectors of 4 and 8 elements, a block's width and a sample's pieces; samples around a block's lines.
TEST_F(GpuLayerNorm, IsAsExactAsTheCpusAtEveryBorder) {
  struct Extents {
    std::int64_t samples, size;
  };
  for (const Extents& e : {Extents{1, 1}, Extents{3, 7}, Extents{9, 8}, Extents{2, 132}, Extents{70, 33},
                           Extents{300, 12}, Extents{2, 16384}, Extents{2, 16388}, Extents{1, 4099}}) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      const std::vector<Tensor> exact = results(e.samples, e.size, dtype, DType::f64, {});
      const std::vector<Tensor> cpu = results(e.samples, e.size, dtype, dtype, {});
      const std::vector<Tensor> gpu = results(e.samples, e.size, dtype, dtype, kGpu);
      const double floor = dtype == DType::f64 ? 1e-14 : 1e-6;
      for (std::size_t i = 0; i < exact.size(); ++i) {
        EXPECT_LE(distance(gpu[i], exact[i]), 2 * distance(cpu[i], exact[i]) + floor * (1 + length(exact[i])))
            << e.samples << " x " << e.size << " " << name_of(dtype) << ", result " << i;
      }
    }
  }
}

TEST_F(GpuLayerNorm, SlicesThatAreNotAlignedGiveTheSameNumbers) {
  const Tensor x = draw({4, 5}, Domain::normal, DType::f32, 1).to(kGpu);
  const Tensor gamma = draw({5}, Domain::positive, DType::f32, 2).to(kGpu);
  const std::vector<Tensor> whole = results(x, gamma, x, true);
  const std::vector<Tensor> part = results(x.slice(1, 3), gamma, x.slice(1, 3), true);
  EXPECT_EQ(largest_difference(part[0], whole[0].slice(1, 3)), 0);
  EXPECT_EQ(largest_difference(part[3], whole[3].slice(1, 3)), 0);
}

TEST_F(GpuLayerNorm, SurvivesALargeMean) {
  const Tensor x = draw({2, 20000}, Domain::normal, DType::f64, 1);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<double>()[i] += 1e4;
  }
  const Tensor ones = Tensor::full({20000}, 1);
  const Tensor single = x.to(DType::f32);
  const std::vector<Tensor> gpu = results(single.to(kGpu), ones.to(kGpu), single.to(kGpu), false);
  EXPECT_NEAR(on_cpu(gpu[1]).data<double>()[1], 1e4, 0.05);
  EXPECT_NEAR(on_cpu(gpu[2]).data<double>()[1], 1, 0.02);
}

TEST_F(GpuLayerNorm, KeepsNaNInItsSample) {
  const Tensor x = draw({3, 8}, Domain::normal, DType::f32, 1);
  x.mutable_data<float>()[9] = std::numeric_limits<float>::quiet_NaN();
  const Tensor ones = Tensor::full({8}, 1, DType::f32, kGpu);
  const std::vector<Tensor> gpu = results(x.to(kGpu), ones, Tensor::full({3, 8}, 1, DType::f32, kGpu), true);
  const Tensor out = on_cpu(gpu[0]);
  const Tensor dx = on_cpu(gpu[3]);
  for (std::int64_t i = 0; i < 24; ++i) {
    EXPECT_EQ(std::isnan(out.data<double>()[i]), i / 8 == 1) << i;
    EXPECT_EQ(std::isnan(dx.data<double>()[i]), i / 8 == 1) << i;
  }
}

TEST_F(GpuLayerNorm, NoSamplesHaveNoGradient) {
  const std::vector<Tensor> gpu = results(0, 6, DType::f32, DType::f32, kGpu);
  EXPECT_EQ(largest_difference(gpu[4], Tensor::zeros({6})), 0);
  EXPECT_EQ(largest_difference(gpu[5], Tensor::zeros({6})), 0);
}

}  // namespace
}  // namespace earmark::testing
