// Convolution with rooms: at most twice the CPU's error against the sum in double.
#include "kernels/reverb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/random.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::RoomResponse;

class GpuReverb : public GpuTest {};

std::vector<float> response(std::int64_t samples) {
  RandomStream random(static_cast<std::uint64_t>(samples));
  std::vector<float> x(static_cast<std::size_t>(samples));
  for (float& v : x) {
    v = static_cast<float>(random.normal());
  }
  return x;
}

/// Largest difference of a row from the linear convolution in double.
double error_of(const Tensor& out, const Tensor& x, const std::vector<float>& rir, std::int64_t skip,
                std::int64_t delay) {
  const std::int64_t samples = x.dim(1);
  double worst = 0;
  for (std::int64_t i = 0; i < out.dim(1); ++i) {
    const std::int64_t t = skip + delay + i;
    double sum = 0;
    for (std::int64_t k = 0; k < static_cast<std::int64_t>(rir.size()); ++k) {
      if (t - k >= 0 && t - k < samples) {
        sum += static_cast<double>(rir[static_cast<std::size_t>(k)]) * static_cast<double>(x.data<float>()[t - k]);
      }
    }
    worst = std::max(worst, std::abs(sum - static_cast<double>(out.data<float>()[i])));
  }
  return worst;
}

struct ReverbCase {
  std::int64_t samples, skip, rir, delay, fft_size;  // fft_size 0: as chosen
};

class GpuReverbCases : public GpuTestWithParam<ReverbCase> {};

TEST_P(GpuReverbCases, IsAsExactAsTheCpu) {
  const ReverbCase c = GetParam();
  const Tensor x = draw({1, c.samples}, Domain::normal, DType::f32, 1);
  const std::vector<float> rir = response(c.rir);
  const std::int64_t size = c.fft_size > 0 ? c.fft_size : kernels::reverb_fft_size(c.samples, c.skip, c.rir);
  const RoomResponse here{kernels::rir_spectrum(rir, size), c.delay, c.rir};
  const RoomResponse there{here.spectrum.to(kGpu), c.delay, c.rir};
  const Tensor want({1, c.samples - c.skip});
  const Tensor got(want.shape(), DType::f32, kGpu);
  kernels::reverb({x, std::span(&here, 1), c.skip, want});
  kernels::reverb({x.to(kGpu), std::span(&there, 1), c.skip, got});
  EXPECT_LE(error_of(got.to(Device{}), x, rir, c.skip, c.delay),
            2 * error_of(want, x, rir, c.skip, c.delay) + 1e-7 * std::sqrt(static_cast<double>(c.rir)));
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuReverbCases,
                         ::testing::Values(ReverbCase{1000, 300, 200, 13, 0}, ReverbCase{1000, 0, 1, 0, 0},
                                           ReverbCase{50, 20, 400, 399, 0},  // the response is longer than the signal
                                           ReverbCase{3000, 1000, 100, 5, 256},  // many overlapping blocks
                                           ReverbCase{777, 776, 128, 0, 0}, ReverbCase{1, 0, 1, 0, 0},
                                           ReverbCase{600, 100, 30, 29, 48}));  // of a size that is no power of two

/// Rows of different sizes of transform, and one room for all of them.
TEST_F(GpuReverb, RowsHaveTheirOwnRooms) {
  const Tensor x = draw({5, 400}, Domain::normal, DType::f32, 1);
  std::vector<RoomResponse> here;
  std::vector<RoomResponse> there;
  for (const std::int64_t length : {64, 300, 1, 65, 299}) {
    here.push_back(
        {kernels::rir_spectrum(response(length), kernels::reverb_fft_size(400, 90, length)), length / 3, length});
    there.push_back(here.back());
    there.back().spectrum = here.back().spectrum.to(kGpu);
  }
  const Tensor want({5, 310});
  const Tensor got(want.shape(), DType::f32, kGpu);
  for (const std::size_t rooms : {std::size_t{5}, std::size_t{1}}) {
    kernels::reverb({x, std::span(here).first(rooms), 90, want});
    kernels::reverb({x.to(kGpu), std::span(there).first(rooms), 90, got});
    const Tensor back = got.to(Device{});
    for (std::int64_t i = 0; i < want.numel(); ++i) {
      ASSERT_NEAR(back.data<float>()[i], want.data<float>()[i], 5e-5F) << "sample " << i;
    }
  }
}

TEST_F(GpuReverb, SilenceStaysAndNoRowsAreNone) {
  const RoomResponse room{kernels::rir_spectrum(response(50), 512).to(kGpu), 7, 50};
  const Tensor out({2, 190}, DType::f32, kGpu);
  kernels::reverb({Tensor::zeros({2, 200}, DType::f32, kGpu), std::span(&room, 1), 10, out});
  const Tensor host = out.to(Device{});
  for (const float v : host.values<float>()) {
    EXPECT_EQ(v, 0);
  }
  kernels::reverb({Tensor({0, 200}, DType::f32, kGpu), std::span(&room, 1), 10, Tensor({0, 190}, DType::f32, kGpu)});
  const RoomResponse elsewhere{kernels::rir_spectrum(response(50), 512), 7, 50};
  EXPECT_THROW(kernels::reverb({Tensor::zeros({2, 200}, DType::f32, kGpu), std::span(&elsewhere, 1), 10, out}), Error);
}

}  // namespace
}  // namespace earmark::testing
