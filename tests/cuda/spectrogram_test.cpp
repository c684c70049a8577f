// Log-mel spectrograms and segments: twice the CPU's error against the definition in double, or the CPU's bits.
#include "kernels/spectrogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/random.h"
#include "tests/cuda/gpu.h"
#include "tests/log_mel_reference.h"

namespace earmark::testing {
namespace {

using Normalization = FeatureOptions::Normalization;

class GpuSpectrogram : public GpuTest {};

Tensor noise(const Shape& shape, double amplitude = 0.1, std::uint64_t seed = 1) {
  RandomStream random(seed);
  const Tensor x(shape);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(amplitude * random.normal());
  }
  return x;
}

/// Largest difference from the definition.
double error_of(const Tensor& mel, const Tensor& pcm, std::int64_t first_centre, const FeatureOptions& o) {
  double worst = 0;
  const Tensor here = mel.to(Device{});
  for (std::int64_t row = 0; row < mel.dim(0); ++row) {
    for (std::int64_t k = 0; k < mel.dim(1); ++k) {
      const std::vector<double> wanted =
          naive_log_mel_frame(pcm.slice(row, row + 1).values<float>(), first_centre + k * o.hop, o);
      for (std::int64_t m = 0; m < mel.dim(2); ++m) {
        const float got = here.data<float>()[(row * mel.dim(1) + k) * mel.dim(2) + m];
        worst = std::max(worst, std::abs(static_cast<double>(got) - wanted[static_cast<std::size_t>(m)]));
      }
    }
  }
  return worst;
}

void expect_as_exact_as_the_cpu(const Tensor& pcm, std::int64_t frames, std::int64_t first_centre,
                                const FeatureOptions& o) {
  const Tensor want({pcm.dim(0), frames, o.mel_bands});
  const Tensor got(want.shape(), DType::f32, kGpu);
  kernels::log_mel(o, {pcm, want, first_centre});
  kernels::log_mel(o, {pcm.to(kGpu), got, first_centre});
  EXPECT_LE(error_of(got, pcm, first_centre, o), 2 * error_of(want, pcm, first_centre, o) + 1e-6)
      << pcm.shape() << ", n_fft " << o.n_fft << ", " << o.mel_bands << " bands";
}

/// Signals shorter than a window are reflected over and over; 37 frames are a tile of 32 and a part of one.
TEST_F(GpuSpectrogram, FramesAreAsExactAsTheCpus) {
  const FeatureOptions options;
  for (const std::int64_t samples : {1, 2, 3, 255, 257, 1000}) {
    expect_as_exact_as_the_cpu(noise({1, samples}), frame_count(samples, options), 0, options);
  }
  expect_as_exact_as_the_cpu(noise({3, 2000}), 12, 256, options);
  expect_as_exact_as_the_cpu(noise({1, 6000}), 37, -500, options);
}

TEST_F(GpuSpectrogram, OtherOptionsToo) {
  FeatureOptions options;
  options.sample_rate = 8000;
  options.n_fft = 256;
  options.hop = 100;
  options.mel_bands = 17;
  options.f_min = 200;
  options.f_max = 3500;
  expect_as_exact_as_the_cpu(noise({2, 1777}), 17, 0, options);
  options.n_fft = 16;
  options.hop = 3;
  options.mel_bands = 8;
  expect_as_exact_as_the_cpu(noise({1, 100}), 33, 0, options);
  options.n_fft = 2048;  // tiles of 16 frames
  options.hop = 1000;
  options.mel_bands = 80;
  expect_as_exact_as_the_cpu(noise({1, 4000}), 3, 0, options);
  options.n_fft = 32768;  // and of one
  options.mel_bands = 5;
  const Tensor pcm = noise({1, 3000});
  const Tensor want({1, 2, 5});
  const Tensor got(want.shape(), DType::f32, kGpu);
  kernels::log_mel(options, {pcm, want});
  kernels::log_mel(options, {pcm.to(kGpu), got});
  for (std::int64_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(got.to(Device{}).data<float>()[i], want.data<float>()[i], 1e-3);
  }
}

TEST_F(GpuSpectrogram, MagnitudesOnSlaneysScaleToo) {
  const FeatureOptions options = nafp_features();
  expect_as_exact_as_the_cpu(noise({2, 3000}), 11, 512, options);
  expect_as_exact_as_the_cpu(noise({1, 2000}, 1e-4), 7, 0, options);
}

TEST_F(GpuSpectrogram, SilenceIsTheFloorAndNoFramesAreNone) {
  const FeatureOptions options;
  const Tensor mel = log_mel(std::vector<float>(1000), options, kGpu);
  EXPECT_EQ(mel.device(), kGpu);
  const Tensor decibels = mel.to(Device{});
  for (const float v : decibels.values<float>()) {
    EXPECT_NEAR(v, -100, 1e-4);
  }
  kernels::log_mel(options, {Tensor::zeros({2, 50}, DType::f32, kGpu), Tensor({2, 0, 64}, DType::f32, kGpu)});
  kernels::log_mel(options, {Tensor({0, 50}, DType::f32, kGpu), Tensor({0, 3, 64}, DType::f32, kGpu)});
}

/// More frames than one batch of transforms: n_fft 512 has batches of 4096.
TEST_F(GpuSpectrogram, ManyFramesGoThroughInBatches) {
  FeatureOptions options;
  options.hop = 4;
  options.mel_bands = 3;
  const Tensor pcm = noise({1, 4 * 4100});
  const Tensor want({1, 4100, 3});
  const Tensor got(want.shape(), DType::f32, kGpu);
  kernels::log_mel(options, {pcm, want});
  kernels::log_mel(options, {pcm.to(kGpu), got});
  const Tensor back = got.to(Device{});
  for (const std::int64_t frame : {0, 31, 4095, 4096, 4099}) {
    for (std::int64_t m = 0; m < 3; ++m) {
      EXPECT_NEAR(back.data<float>()[frame * 3 + m], want.data<float>()[frame * 3 + m], 1e-3) << frame;
    }
  }
}

class GpuSegments : public GpuTestWithParam<Normalization> {};

TEST_P(GpuSegments, AreTheCpus) {
  FeatureOptions options;
  options.normalization = GetParam();
  for (const auto& [bands, frames] : {std::pair{64, 96}, {1, 1}, {33, 31}, {5, 70}}) {
    options.mel_bands = bands;
    options.frames = frames;
    const Tensor mel = noise({frames + 23, bands}, 20);
    const Tensor want = segments_of(mel, options, 1, 3, 7);
    const Tensor got = segments_of(mel.to(kGpu), options, 1, 3, 7).to(Device{});
    const std::vector<std::int64_t> places = {23, 0, 0, 9};
    const Tensor listed({4, bands, frames, 1});
    const Tensor listed_there(listed.shape(), DType::f32, kGpu);
    const Tensor maximum = Tensor::full({1}, 3);
    kernels::cut_segments(options, {mel, listed, 0, 1, places, maximum});
    kernels::cut_segments(options, {mel.to(kGpu), listed_there, 0, 1, places, maximum.to(kGpu)});
    // The mean may be rounded the other way.
    const float slack = GetParam() == Normalization::mean ? 4e-6F : 0;
    for (std::int64_t i = 0; i < want.numel(); ++i) {
      ASSERT_NEAR(got.data<float>()[i], want.data<float>()[i], slack) << bands << " x " << frames << ", value " << i;
    }
    const Tensor listed_back = listed_there.to(Device{});
    for (std::int64_t i = 0; i < listed.numel(); ++i) {
      ASSERT_NEAR(listed_back.data<float>()[i], listed.data<float>()[i], slack) << bands << " x " << frames;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GpuSegments,
                         ::testing::Values(Normalization::none, Normalization::mean, Normalization::max_relative,
                                           Normalization::batch_maximum));

TEST_F(GpuSpectrogram, NoSegmentsAndSegmentsOutside) {
  const FeatureOptions options;
  const Tensor mel = noise({100, 64}).to(kGpu);
  EXPECT_EQ(segments_of(mel, options, 0, 0).numel(), 0);
  EXPECT_THROW(segments_of(mel, options, 1, 1), Error);
  const std::vector<std::int64_t> outside = {5};
  const Tensor out({1, 64, 96, 1}, DType::f32, kGpu);
  EXPECT_THROW(kernels::cut_segments(options, {mel, out, 0, 1, outside}), Error);
  EXPECT_THROW(kernels::cut_segments(options, {mel, Tensor({1, 64, 96, 1})}), Error);
}

}  // namespace
}  // namespace earmark::testing
