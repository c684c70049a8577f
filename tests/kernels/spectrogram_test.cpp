#include "kernels/spectrogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/log_mel_reference.h"
#include "tests/normal_numbers.h"

namespace earmark {
namespace {

using testing::noise;

using Normalization = FeatureOptions::Normalization;

void expect_naive(const Tensor& mel, const std::vector<float>& x, std::int64_t first_centre, const FeatureOptions& o,
                  double tolerance) {
  for (std::int64_t k = 0; k < mel.dim(0); ++k) {
    const std::vector<double> wanted = testing::naive_log_mel_frame(x, first_centre + k * o.hop, o);
    for (std::int64_t m = 0; m < mel.dim(1); ++m) {
      ASSERT_NEAR(mel.data<float>()[k * mel.dim(1) + m], wanted[static_cast<std::size_t>(m)], tolerance)
          << "frame " << k << " band " << m;
    }
  }
}

TEST(Spectrogram, MatchesTheDefinitionInDouble) {
  const FeatureOptions options;
  const std::vector<float> x = noise(3300);
  expect_naive(log_mel(x, options), x, 0, options, 1e-3);
}

TEST(Spectrogram, MatchesTheDefinitionForOtherOptions) {
  FeatureOptions options;
  options.n_fft = 256;
  options.hop = 100;
  options.mel_bands = 17;
  options.f_min = 200;
  options.f_max = 3500;
  options.sample_rate = 8000;
  const std::vector<float> x = noise(1777);
  expect_naive(log_mel(x, options), x, 0, options, 1e-3);
}

TEST(Spectrogram, MagnitudesOnSlaneysScaleMatchTheDefinition) {
  const FeatureOptions options = testing::nafp_features();
  // Loud and soft: above the offset of the logarithm and far below it.
  for (const double amplitude : {0.3, 1e-4}) {
    const std::vector<float> x = noise(5 * 256, amplitude);
    expect_naive(log_mel(x, options), x, 0, options, 1e-5);
  }
  const Tensor silence = log_mel(std::vector<float>(3000, 0.0F), options);
  for (const float v : silence.values<float>()) {
    EXPECT_NEAR(v, std::log10(0.06), 1e-6);
  }
}

TEST(Spectrogram, SignalsShorterThanAWindowAreReflectedOverAndOver) {
  const FeatureOptions options;
  for (const std::int64_t samples : {1, 2, 3, 100, 161, 255, 256, 257, 400}) {
    const std::vector<float> x = noise(samples);
    const Tensor mel = log_mel(x, options);
    EXPECT_EQ(mel.shape(), Shape({std::max<std::int64_t>(1, samples / 160), 64}));
    expect_naive(mel, x, 0, options, 2e-3);
  }
}

TEST(Spectrogram, SilenceIsTheFloor) {
  const std::vector<float> x(4000, 0.0F);
  const Tensor mel = log_mel(x, {});
  for (const float v : mel.values<float>()) {
    EXPECT_NEAR(v, -100, 1e-4);
  }
}

TEST(Spectrogram, DecibelsAreRightOverTheWholeRange) {
  const FeatureOptions options;
  const std::vector<float> x = noise(160);
  const float base = log_mel(x, options).data<float>()[30];
  for (double gain_db = -60; gain_db <= 60; gain_db += 0.37) {
    std::vector<float> scaled = x;
    for (float& v : scaled) {
      v *= static_cast<float>(std::pow(10, gain_db / 20));
    }
    EXPECT_NEAR(log_mel(scaled, options).data<float>()[30], static_cast<double>(base) + gain_db, 1e-3) << gain_db;
  }
}

TEST(Spectrogram, ASineLandsInItsBand) {
  const FeatureOptions options;
  std::vector<float> x(8000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(std::sin(2 * std::numbers::pi * 1000 * static_cast<double>(i) / 16000));
  }
  const Tensor mel = log_mel(x, options);
  const auto row = mel.slice(20, 21).values<float>();
  const auto loudest = std::max_element(row.begin(), row.end()) - row.begin();
  // mel(1000) = 1000 of 2840 in 65 steps: centre 22.9, so band index 22 (centres count from 1).
  EXPECT_EQ(loudest, 22);
  // Bin 32 carries (512 / 4)² = 16384 through a filter of weight <= 1.
  EXPECT_NEAR(*std::max_element(row.begin(), row.end()), 10 * std::log10(16384.0), 2.0);
}

TEST(Spectrogram, MelFiltersHaveKnownValues) {
  const FeatureOptions options;
  const std::vector<double> bank = mel_filter_bank(options);
  ASSERT_EQ(bank.size(), 64U * 257U);
  // HTK: mel(8000) = 2840.0231; edges at multiples of 2840.0231 / 65 = 43.6927, so the first three are 0, 27.6732 and
  // 56.4404 Hz. Bin 1 is 31.25 Hz: (56.4404 - 31.25) / (56.4404 - 27.6732) = 0.87567 in band 0, the rest in band 1.
  EXPECT_NEAR(bank[1], 0.87567, 2e-4);
  EXPECT_NEAR(bank[257 + 1], 1 - 0.87567, 2e-4);
  EXPECT_EQ(bank[0], 0);
  // Between the first and the last centre the triangles sum to one at every bin.
  for (std::size_t k = 1; k < 245; ++k) {
    double sum = 0;
    for (std::size_t m = 0; m < 64; ++m) {
      sum += bank[m * 257 + k];
    }
    EXPECT_NEAR(sum, 1, 1e-12) << k;
  }
}

TEST(Spectrogram, SlaneysFiltersHaveKnownValues) {
  FeatureOptions options;
  options.mel_scale = FeatureOptions::MelScale::slaney;
  // 0 to 8000 Hz are 0 to 15 + 27·ln 8 / ln 6.4 = 45.245640 mel, so with 64 bands edges are 0.69608677 mel apart:
  // linear up to 1 kHz (15 mel), at 0, 46.405785 and 92.811569 Hz; the last three at 7269.788038, 7626.159211 and 8000
  // Hz.
  const std::vector<double> bank = mel_filter_bank(options);
  const double height = 2 / 92.811569;
  EXPECT_NEAR(bank[1], height * 31.25 / 46.405785, 1e-8);
  EXPECT_NEAR(bank[2], height * (92.811569 - 62.5) / 46.405785, 1e-8);
  EXPECT_EQ(bank[3], 0);
  const std::size_t last = 63 * 257;
  EXPECT_EQ(bank[last + 232], 0);  // 7250 Hz
  EXPECT_NEAR(bank[last + 244], 2 / (8000 - 7269.788038) * (7625 - 7269.788038) / (7626.159211 - 7269.788038), 1e-7);
  EXPECT_NEAR(bank[last + 250], 2 / (8000 - 7269.788038) * (8000 - 7812.5) / (8000 - 7626.159211), 1e-7);
}

TEST(Spectrogram, SlaneysFiltersHaveAreaOne) {
  FeatureOptions options = testing::nafp_features();
  options.n_fft = 16384;  // fine bins, so that sums are integrals
  const std::vector<double> bank = mel_filter_bank(options);
  for (std::size_t m = 0; m < 256; m += 15) {
    double area = 0;
    for (std::size_t k = 0; k < 8193; ++k) {
      area += bank[m * 8193 + k] * 8000 / 16384;
    }
    EXPECT_NEAR(area, 1, 0.01) << m;
  }
}

TEST(Spectrogram, CountsOfFramesAndSegments) {
  const FeatureOptions options;
  EXPECT_EQ(frame_count(0, options), 0);
  EXPECT_EQ(frame_count(1, options), 1);
  EXPECT_EQ(frame_count(15360, options), 96);
  EXPECT_EQ(frame_count(480000, options), 3000);
  EXPECT_EQ(segment_count(95, options), 0);
  EXPECT_EQ(segment_count(96, options), 1);
  EXPECT_EQ(segment_count(105, options), 1);
  EXPECT_EQ(segment_count(106, options), 2);
  EXPECT_EQ(segment_count(3000, options), 291);
}

TEST(Spectrogram, APartWithItsSurroundingsEqualsTheWhole) {
  const FeatureOptions options;
  const std::vector<float> x = noise(40000);
  const Tensor whole = log_mel(x, options);
  // Frames 50 to 145, from the samples their windows reach: 256 before the first centre and 256 after the last.
  const std::int64_t margin = options.n_fft / 2;
  const Tensor part_pcm =
      Tensor::from<float>({1, 95 * 160 + 512}, std::span(x).subspan(50 * 160 - 256, 95 * 160 + 512));
  const Tensor part({1, 96, 64});
  kernels::log_mel(options, {part_pcm, part, margin});
  for (std::int64_t i = 0; i < 96 * 64; ++i) {
    EXPECT_NEAR(part.data<float>()[i], whole.data<float>()[50 * 64 + i], 1e-3);
  }
}

TEST(Spectrogram, RowsAreIndependent) {
  const FeatureOptions options;
  const std::vector<float> a = noise(2000, 0.1, 1);
  const std::vector<float> b = noise(2000, 0.5, 2);
  const Tensor both({2, 2000});
  std::copy(a.begin(), a.end(), both.mutable_data<float>());
  std::copy(b.begin(), b.end(), both.mutable_data<float>() + 2000);
  const Tensor out({2, 12, 64});
  kernels::log_mel(options, {both, out});
  const Tensor alone = log_mel(b, options);
  for (std::int64_t i = 0; i < 12 * 64; ++i) {
    EXPECT_EQ(out.data<float>()[12 * 64 + i], alone.data<float>()[i]);
  }
}

TEST(Spectrogram, ThreadsDoNotChangeABit) {
  const FeatureOptions options;
  const std::vector<float> x = noise(200000);
  const int before = num_threads();
  set_num_threads(1);
  const Tensor one = log_mel(x, options);
  set_num_threads(3);
  const Tensor three = log_mel(x, options);
  set_num_threads(before);
  EXPECT_TRUE(std::ranges::equal(one.values<float>(), three.values<float>()));
}

Tensor counting_mel(std::int64_t frames, std::int64_t bands) {
  const Tensor mel({frames, bands});
  for (std::int64_t i = 0; i < frames * bands; ++i) {
    mel.mutable_data<float>()[i] = static_cast<float>(i % 977) * 0.1F - 40;
  }
  return mel;
}

TEST(Segments, AreCutAndTransposed) {
  const FeatureOptions options;
  const Tensor mel = counting_mel(130, 64);
  const Tensor segments = segments_of(mel, options, 1, 3);
  ASSERT_EQ(segments.shape(), Shape({3, 64, 96, 1}));
  for (const std::int64_t segment : {0, 2}) {
    for (const std::int64_t band : {0, 17, 63}) {
      for (const std::int64_t frame : {0, 50, 95}) {
        EXPECT_EQ(segments.data<float>()[(segment * 64 + band) * 96 + frame],
                  mel.data<float>()[((segment + 1) * 10 + frame) * 64 + band]);
      }
    }
  }
}

TEST(Segments, MeanRemovalLeavesMeanZero) {
  FeatureOptions options;
  options.normalization = Normalization::mean;
  const Tensor mel = counting_mel(96, 64);
  const Tensor segment = segments_of(mel, options, 0, 1);
  double sum = 0;
  for (const float v : segment.values<float>()) {
    sum += static_cast<double>(v);
  }
  EXPECT_NEAR(sum / (64 * 96), 0, 1e-4);
  const float* x = segment.data<float>();
  EXPECT_NEAR(x[1] - x[0], mel.data<float>()[64] - mel.data<float>()[0], 1e-5);
}

TEST(Segments, MaximumRelativeIsScaledAndFloored) {
  FeatureOptions options;
  options.normalization = Normalization::max_relative;
  const Tensor mel = Tensor::full({96, 64}, -90);
  mel.mutable_data<float>()[0] = 10;   // the maximum: 1
  mel.mutable_data<float>()[1] = -20;  // 30 dB below: 0
  mel.mutable_data<float>()[2] = -50;  // 60 dB below: -1
  const Tensor segment = segments_of(mel, options, 0, 1);
  const float* x = segment.data<float>();
  EXPECT_FLOAT_EQ(x[0], 1);
  EXPECT_NEAR(x[96], 0, 1e-6);
  EXPECT_FLOAT_EQ(x[2 * 96], -1);
  EXPECT_FLOAT_EQ(x[3 * 96], -1);
}

TEST(Segments, MaximumRelativeDoesNotHearTheLevel) {
  FeatureOptions options;
  options.normalization = Normalization::max_relative;
  std::vector<float> x = noise(15360, 0.2);
  const Tensor loud = segments_of(log_mel(x, options), options, 0, 1);
  for (float& v : x) {
    v *= 0.1F;
  }
  const Tensor quiet = segments_of(log_mel(x, options), options, 0, 1);
  for (std::int64_t i = 0; i < loud.numel(); ++i) {
    EXPECT_NEAR(loud.data<float>()[i], quiet.data<float>()[i], 1e-4);
  }
}

TEST(Segments, BatchMaximumIsRelativeToTheWholeSpectrogram) {
  FeatureOptions options;
  options.normalization = Normalization::batch_maximum;
  const Tensor mel = counting_mel(130, 64);
  mel.mutable_data<float>()[129 * 64 + 5] = 100;  // behind the segments
  const Tensor segments = segments_of(mel, options, 1, 3);
  FeatureOptions plain;
  const Tensor as_is = segments_of(mel, plain, 1, 3);
  for (std::int64_t i = 0; i < segments.numel(); ++i) {
    ASSERT_EQ(segments.data<float>()[i], as_is.data<float>()[i] - 100);
  }
  EXPECT_THROW(kernels::cut_segments(options, {mel, as_is, 0, 10}), Error);  // without a maximum
}

TEST(Segments, NoneMayLieOutside) {
  const FeatureOptions options;
  const Tensor mel = counting_mel(105, 64);
  EXPECT_NO_THROW(segments_of(mel, options, 0, 1));
  EXPECT_THROW(segments_of(mel, options, 1, 1), Error);
  EXPECT_THROW(segments_of(mel, options, 0, 2), Error);
  EXPECT_THROW(segments_of(mel, options, -1, 1), Error);
}

TEST(FeatureOptions, BadOnesAreRefusedByName) {
  const auto message = [](auto change) {
    FeatureOptions options;
    change(options);
    try {
      check_feature_options(options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message([](FeatureOptions&) {}), "");
  EXPECT_NE(message([](FeatureOptions& o) { o.n_fft = 500; }).find("n_fft"), std::string::npos);
  EXPECT_NE(message([](FeatureOptions& o) { o.hop = 0; }).find("hop"), std::string::npos);
  EXPECT_NE(message([](FeatureOptions& o) { o.f_max = 9000; }).find("f_max"), std::string::npos);
  EXPECT_NE(message([](FeatureOptions& o) { o.mel_bands = 0; }).find("mel_bands"), std::string::npos);
  EXPECT_NE(message([](FeatureOptions& o) { o.floor_db = 1; }).find("floor_db"), std::string::npos);
  const auto relative = [](FeatureOptions& o) {
    o.normalization = Normalization::max_relative;
    o.compression = FeatureOptions::Compression::log_magnitude;
  };
  EXPECT_NE(message(relative).find("normalization, compression"), std::string::npos);
  EXPECT_NO_THROW(check_feature_options(testing::nafp_features()));
  EXPECT_THROW(log_mel({}, FeatureOptions{}), Error);
}

}  // namespace
}  // namespace earmark
