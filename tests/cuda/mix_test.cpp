// Noise at a ratio and peaks: the CPU's to a rounding, and the same bits every time.
#include "kernels/mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuMix : public GpuTest {};

/// Within a rounding of the largest sample.
void expect_close(const Tensor& got, const Tensor& want) {
  const Tensor here = got.to(Device{});
  float largest = 0;
  for (const float v : want.values<float>()) {
    largest = std::max(largest, std::abs(v));
  }
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    ASSERT_NEAR(here.data<float>()[i], want.data<float>()[i], 2e-7F * largest) << want.shape() << ", sample " << i;
  }
}

/// Rows of one part, of exactly one (4096) and of several.
TEST_F(GpuMix, IsTheCpusMixture) {
  for (const std::int64_t samples : {1, 255, 4096, 4097, 10001}) {
    const Tensor signal = draw({3, samples}, Domain::normal, DType::f32, 1);
    const Tensor noise = draw({3, samples}, Domain::normal, DType::f32, 2);
    const Tensor snr = Tensor::from<float>({3}, std::vector<float>{0, 7.5, -13});
    for (const std::int64_t begin : {std::int64_t{0}, samples / 3}) {
      const std::int64_t end = std::max(begin + 1, samples - samples / 5);
      const Tensor want(signal.shape());
      const Tensor got(signal.shape(), DType::f32, kGpu);
      kernels::mix_at_snr({signal, noise, snr, begin, end, want});
      kernels::mix_at_snr({signal.to(kGpu), noise.to(kGpu), snr, begin, end, got});
      expect_close(got, want);
      const Tensor in_place = signal.to(kGpu);
      kernels::mix_at_snr({in_place, noise.to(kGpu), snr.to(kGpu), begin, end, in_place});
      EXPECT_EQ(std::memcmp(in_place.to(Device{}).raw(), got.to(Device{}).raw(), got.bytes()), 0);
    }
  }
}

TEST_F(GpuMix, ARowsBitsDoNotDependOnTheOthers) {
  const Tensor signal = draw({4, 9000}, Domain::normal, DType::f32, 1).to(kGpu);
  const Tensor noise = draw({4, 9000}, Domain::normal, DType::f32, 2).to(kGpu);
  const Tensor snr = Tensor::full({4}, 3);
  const Tensor together(signal.shape(), DType::f32, kGpu);
  kernels::mix_at_snr({signal, noise, snr, 100, 8900, together});
  const Tensor alone({1, 9000}, DType::f32, kGpu);
  kernels::mix_at_snr({signal.slice(2, 3), noise.slice(2, 3), snr.slice(2, 3), 100, 8900, alone});
  EXPECT_EQ(std::memcmp(together.slice(2, 3).to(Device{}).raw(), alone.to(Device{}).raw(), alone.bytes()), 0);
}

TEST_F(GpuMix, SilenceOnEitherSideLeavesTheSignal) {
  const Tensor signal = draw({1, 300}, Domain::normal, DType::f32, 1);
  const Tensor zeros = Tensor::zeros({1, 300}, DType::f32, kGpu);
  const Tensor out({1, 300}, DType::f32, kGpu);
  const Tensor snr = Tensor::full({1}, 0);
  kernels::mix_at_snr({signal.to(kGpu), zeros, snr, 0, 300, out});
  EXPECT_EQ(std::memcmp(out.to(Device{}).raw(), signal.raw(), signal.bytes()), 0);
  kernels::mix_at_snr({zeros, signal.to(kGpu), snr, 0, 300, out});
  const Tensor host = out.to(Device{});
  for (const float v : host.values<float>()) {
    EXPECT_EQ(v, 0);
  }
}

TEST_F(GpuMix, PeaksAreTheCpusBits) {
  for (const std::int64_t samples : {1, 5, 4096, 9001}) {
    const Tensor want = draw({3, samples}, Domain::normal, DType::f32, 4);
    want.slice(1, 2).fill(0);
    const Tensor got = want.to(kGpu);
    kernels::peak_normalize({want, 0.5F});
    kernels::peak_normalize({got, 0.5F});
    EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0) << samples;
  }
}

TEST_F(GpuMix, NoRowsAndTensorsElsewhere) {
  const Tensor none({0, 10}, DType::f32, kGpu);
  kernels::mix_at_snr({none, none, Tensor({0}), 0, 10, none});
  kernels::peak_normalize({none, 1});
  const Tensor x = Tensor::zeros({1, 10}, DType::f32, kGpu);
  EXPECT_THROW(kernels::mix_at_snr({x, Tensor::zeros({1, 10}), Tensor({1}), 0, 10, x}), Error);
}

}  // namespace
}  // namespace earmark::testing
