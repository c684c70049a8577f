// What waveforms and segments of a training batch go through one by one: widening, equalizers, masks.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/equalize.h"
#include "kernels/pcm.h"
#include "kernels/spec_augment.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuAugment : public GpuTest {};

void expect_same_bits(const Tensor& got, const Tensor& want) {
  EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0) << want.shape();
}

TEST_F(GpuAugment, SamplesAreWidenedAsOnTheCpu) {
  for (const std::int64_t samples : {0, 1, 3, 4, 1027}) {
    const Tensor pcm({samples}, DType::i16);
    for (std::int64_t i = 0; i < samples; ++i) {
      pcm.mutable_data<std::int16_t>()[i] = static_cast<std::int16_t>(i * 977 - 32768);
    }
    const Tensor want({samples});
    const Tensor got({samples}, DType::f32, kGpu);
    kernels::widen_pcm({pcm, want});
    kernels::widen_pcm({pcm.to(kGpu), got});
    expect_same_bits(got, want);
  }
  const Tensor pcm = Tensor::full({9}, 1000, DType::i16);
  const Tensor got({9}, DType::f32, kGpu);
  kernels::widen_pcm({pcm.to(kGpu).slice(1, 8), got.slice(2, 9)});  // not aligned
  EXPECT_EQ(got.slice(8, 9).item(), static_cast<double>(1000 * kernels::kPcmStep));
}

/// In double, what the compiler joins or not is far below the rounding to float.
TEST_F(GpuAugment, EqualizersAreTheCpus) {
  std::vector<kernels::Equalizer> rows(4);
  rows[0].gain = 0.3F;
  rows[1] = {.gain = 2, .filters = true, .sections = {{{0.2, 0.3, 0.1, -0.5, 0.2}}}};
  // A high-pass of 60 Hz at 16 kHz behind a low-pass.
  rows[2] = {.filters = true, .sections = {{{0.1, 0.2, 0.1, -0.6, 0.3}, {}, {0.97, -1.94, 0.97, -1.957, 0.9575}, {}}}};
  for (const std::int64_t samples : {1, 511, 512, 1500}) {
    const Tensor want = draw({4, samples}, Domain::normal, DType::f32, 1);
    const Tensor got = want.to(kGpu);
    kernels::equalize({want, rows});
    kernels::equalize({got, rows});
    const Tensor back = got.to(Device{});
    for (std::int64_t i = 0; i < want.numel(); ++i) {
      const float value = want.data<float>()[i];
      ASSERT_NEAR(back.data<float>()[i], value, 1.2e-7F * std::abs(value) + 1e-12F) << samples << ", sample " << i;
    }
  }
  kernels::equalize({Tensor({0, 5}, DType::f32, kGpu), {}});
}

TEST_F(GpuAugment, MasksAreTheCpus) {
  const std::array<kernels::MaskRange, 6> bands = {{{0, 5}, {4, 7}, {2, 2}, {0, 33}, {32, 33}, {1, 3}}};
  const std::array<kernels::MaskRange, 3> frames = {{{0, 1}, {5, 5}, {30, 41}}};
  const Tensor want = draw({3, 33, 41, 1}, Domain::ties, DType::f32, 1);  // their sums are exact
  const Tensor got = want.to(kGpu);
  kernels::spec_augment({want, bands, frames});
  kernels::spec_augment({got, bands, frames});
  expect_same_bits(got, want);
  const std::array<kernels::MaskBox, 6> boxes = {{{{0, 3}, {5, 9}},
                                                  {{10, 33}, {40, 41}},
                                                  {{4, 4}, {0, 41}},
                                                  {{7, 8}, {0, 0}},
                                                  {{0, 33}, {0, 41}},
                                                  {{32, 33}, {12, 13}}}};
  for (const std::optional<float> fill : {std::optional<float>(), std::optional<float>(0.0F)}) {
    kernels::spec_augment({want, bands, frames, boxes, fill});
    kernels::spec_augment({got, bands, frames, boxes, fill});
    expect_same_bits(got, want);
  }
  const Tensor before = got.to(Device{});
  kernels::spec_augment({got, {}, {}});
  expect_same_bits(got, before);
}

}  // namespace
}  // namespace earmark::testing
