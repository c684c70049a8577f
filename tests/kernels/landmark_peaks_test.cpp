// Peaks of landmarks against the definition, written plainly in double, and against audfprint's own.
#include "kernels/landmark_peaks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

#include "kernels/error.h"
#include "tests/landmark_reference.h"
#include "tests/normal_numbers.h"

namespace earmark::kernels {
namespace {

using earmark::testing::as_pcm;
using earmark::testing::kLandmarkRate;
using earmark::testing::landmark_reference;
using earmark::testing::noise;
using earmark::testing::reference_sound;
using earmark::testing::unpacked;
using Row = std::vector<double>;

/// Sample i of a sound continued by reflection.
double sample(std::span<const float> x, std::int64_t i) {
  const auto n = static_cast<std::int64_t>(x.size());
  while (i < 0 || i >= n) {
    i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
  }
  return static_cast<double>(x[static_cast<std::size_t>(i)]);
}

/// log |X| of one frame by the definition of the transform.
Row naive_log_magnitudes(std::span<const float> x, std::int64_t frame) {
  Row out;
  for (int k = 0; k <= 256; ++k) {
    std::complex<double> sum = 0;
    for (int i = 0; i < 512; ++i) {
      const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * (i + 1) / 513);
      sum += window * sample(x, frame * 256 - 256 + i) * std::polar(1.0, -2 * std::numbers::pi * (i * k % 512) / 512);
    }
    out.push_back(std::log(std::abs(sum)));
  }
  return out;
}

bool is_maximum(const Row& row, std::size_t i) {
  return (i == 0 || row[i] >= row[i - 1]) && (i + 1 == row.size() || row[i + 1] < row[i]);
}

void raise(Row& mask, std::size_t bin, double height, double spread) {
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const double distance = (static_cast<double>(i) - static_cast<double>(bin)) / spread;
    mask[i] = std::max(mask[i], height * std::exp(-0.5 * distance * distance));
  }
}

Row spread_maxima(const Row& row, double spread) {
  Row mask(row.size(), 0);
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (is_maximum(row, i)) {
      raise(mask, i, row[i], spread);
    }
  }
  return mask;
}

std::vector<std::size_t> by_height(const Row& row, std::vector<std::size_t> bins) {
  std::sort(bins.begin(), bins.end(),
            [&](std::size_t a, std::size_t b) { return row[a] != row[b] ? row[a] > row[b] : a > b; });
  return bins;
}

/// The spectrogram with its floor, without its mean, and through the high-pass; 256 bins.
std::vector<Row> naive_onsets(std::span<const float> x) {
  std::vector<Row> rows;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t t = 0; t < landmark_frames(static_cast<std::int64_t>(x.size())); ++t) {
    rows.push_back(naive_log_magnitudes(x, t));
    largest = std::max(largest, *std::max_element(rows.back().begin(), rows.back().end()));
  }
  double sum = 0;
  for (Row& row : rows) {
    for (double& value : row) {
      sum += value = std::max(value, largest - std::log(1e6));
    }
  }
  std::vector<Row> out;
  for (std::size_t t = 0; t < rows.size(); ++t) {
    Row y;
    for (std::size_t k = 0; k < 256; ++k) {
      const double mean = sum / static_cast<double>(rows.size() * 257);
      y.push_back(t == 0 ? rows[0][k] - mean : rows[t][k] - rows[t - 1][k] + 0.98 * out[t - 1][k]);
    }
    out.push_back(y);
  }
  return out;
}

std::vector<LandmarkPeak> naive_peaks(std::span<const float> x, const LandmarkPeakOptions& options) {
  const std::vector<Row> y = naive_onsets(x);
  const double decay = 1 - 0.01 * options.density * std::sqrt(256 / 352.8) / 35;
  Row first = y[0];
  for (std::size_t t = 1; t < std::min<std::size_t>(10, y.size()); ++t) {
    std::transform(first.begin(), first.end(), y[t].begin(), first.begin(),
                   [](double a, double b) { return std::max(a, b); });
  }
  std::vector<std::vector<std::size_t>> peaks(y.size());
  Row mask = spread_maxima(first, options.spread_bins);
  for (std::size_t t = 0; t < y.size(); ++t) {
    std::vector<std::size_t> bins;
    for (std::size_t i = 0; i < 256; ++i) {
      if (is_maximum(y[t], i) && y[t][i] > mask[i]) {
        bins.push_back(i);
      }
    }
    peaks[t] = by_height(y[t], bins);
    peaks[t].resize(std::min(peaks[t].size(), static_cast<std::size_t>(options.peaks_per_frame)));
    for (const std::size_t bin : peaks[t]) {
      raise(mask, bin, y[t][bin], options.spread_bins);
    }
    std::transform(mask.begin(), mask.end(), mask.begin(), [&](double m) { return m * decay; });
  }
  mask = spread_maxima(y.back(), options.spread_bins);
  for (std::size_t t = y.size(); t-- > 0;) {
    for (const std::size_t bin : std::vector<std::size_t>(peaks[t])) {
      if (y[t][bin] >= mask[bin]) {
        raise(mask, bin, y[t][bin], options.spread_bins);
        if (t + 1 < y.size()) {
          std::erase(peaks[t + 1], bin);
        }
      } else {
        std::erase(peaks[t], bin);
      }
    }
    std::transform(mask.begin(), mask.end(), mask.begin(), [&](double m) { return m * decay; });
  }
  std::vector<LandmarkPeak> out;
  for (std::size_t t = 0; t < peaks.size(); ++t) {
    std::sort(peaks[t].begin(), peaks[t].end());
    for (const std::size_t bin : peaks[t]) {
      out.push_back({static_cast<std::int32_t>(t), static_cast<std::int32_t>(bin)});
    }
  }
  return out;
}

/// Peaks that both have, in percent of those that either has.
double overlap(std::vector<LandmarkPeak> a, std::vector<LandmarkPeak> b) {
  const auto number = [](const LandmarkPeak& peak) { return peak.frame * 256 + peak.bin; };
  const auto less = [&](const LandmarkPeak& x, const LandmarkPeak& y) { return number(x) < number(y); };
  std::vector<LandmarkPeak> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both), less);
  return a.size() + b.size() == 0
             ? 100
             : 100 * static_cast<double>(both.size()) / static_cast<double>(a.size() + b.size() - both.size());
}

LandmarkPeakOptions many() { return {100, 30, 10}; }

TEST(LandmarkPeaks, LogMagnitudesAreThoseOfTheDefinition) {
  for (const std::int64_t samples : {1, 2, 255, 256, 257, 700, 5000}) {
    const std::vector<float> pcm = noise(samples, 0.1, 5);
    const cpu::LandmarkLogs found = cpu::landmark_log_magnitudes(pcm);
    const Tensor& rows = found.rows;
    const std::int64_t frames = landmark_frames(samples);
    ASSERT_EQ(rows.shape(), (Shape{frames, cpu::LandmarkLogs::kStride}));
    const std::span<const double> logs = rows.values<double>();
    double largest = -std::numeric_limits<double>::infinity();
    for (std::int64_t t = 0; t < frames; ++t) {
      const Row wanted = naive_log_magnitudes(pcm, t);
      const std::span<const double> row = logs.subspan(static_cast<std::size_t>(t) * cpu::LandmarkLogs::kStride, 257);
      largest = std::max(largest, *std::max_element(row.begin(), row.end()));
      EXPECT_EQ(found.lowest[static_cast<std::size_t>(t)], *std::min_element(row.begin(), row.end()));
      const double sum = std::accumulate(row.begin(), row.end(), 0.0);
      EXPECT_TRUE(std::abs(found.sums[static_cast<std::size_t>(t)] - sum) < 1e-11 ||
                  (sum < -1e100 && found.sums[static_cast<std::size_t>(t)] == sum))  // both -infinity
          << sum;
      for (std::size_t k = 0; k < 257; ++k) {
        const double got = row[k];
        EXPECT_NEAR(std::exp(got), std::exp(wanted[k]), 1e-13) << samples << " samples, frame " << t << " bin " << k;
      }
    }
    EXPECT_EQ(found.largest, largest);
  }
}

TEST(LandmarkPeaks, ALogarithmIsRightToItsLastBits) {
  // A single sample in the middle of a frame's window has the same magnitude in all bins: that sample's.
  for (const float level : {1.0F, 0.75F, 1e-3F, 3e-20F, 1e-38F}) {
    std::vector<float> pcm(513, 0);
    pcm[256] = level;
    const Tensor rows = cpu::landmark_log_magnitudes(pcm).rows;
    const std::span<const double> logs = rows.values<double>();
    const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * 257 / 513);
    const double wanted = std::log(window * static_cast<double>(level));
    for (std::size_t k = 0; k < 257; ++k) {
      EXPECT_NEAR(logs[cpu::LandmarkLogs::kStride + k], wanted, 4e-16 * std::max(2.0, std::abs(wanted)))
          << level << " bin " << k;
    }
  }
}

TEST(LandmarkPeaks, AreThoseOfTheDefinition) {
  for (const std::int64_t samples : {256, 257, 1000, 12000}) {
    std::vector<float> pcm = noise(samples, 0.01, 7);
    for (std::size_t i = 0; i < pcm.size(); ++i) {
      pcm[i] += static_cast<float>(0.3 * std::sin(1e-5 * static_cast<double>(i * i)) * (i / 2000 % 2 == 0 ? 1.0 : 0.1));
    }
    for (const LandmarkPeakOptions& options : {LandmarkPeakOptions(), many()}) {
      const std::vector<LandmarkPeak> wanted = naive_peaks(pcm, options);
      EXPECT_FALSE(wanted.empty());
      EXPECT_GE(overlap(landmark_peaks(pcm, options), wanted), 99) << samples;
    }
  }
}

TEST(LandmarkPeaks, AreThoseOfAudfprint) {
  const nlohmann::json analysis = landmark_reference()["analysis"];
  const std::vector<float> pcm = as_pcm(reference_sound(1, 8 * kLandmarkRate));
  for (const auto& [name, options] : {std::pair<std::string, LandmarkPeakOptions>{"default", {}}, {"best", many()}}) {
    std::vector<LandmarkPeak> wanted;
    for (const std::int64_t number : unpacked(analysis[name]["peaks"])) {
      wanted.push_back({static_cast<std::int32_t>(number >> 20), static_cast<std::int32_t>(number & 0xFFFFF)});
    }
    EXPECT_GE(overlap(landmark_peaks(pcm, options), wanted), 99) << name;
  }
}

TEST(LandmarkPeaks, TheShortestSoundsAreThoseOfAudfprint) {
  for (const auto& [samples, peaks] : landmark_reference()["short"].items()) {
    const std::vector<float> pcm = as_pcm(reference_sound(3, std::stoll(samples)));
    std::vector<LandmarkPeak> wanted;
    for (const std::int64_t number : unpacked(peaks)) {
      wanted.push_back({static_cast<std::int32_t>(number >> 20), static_cast<std::int32_t>(number & 0xFFFFF)});
    }
    EXPECT_EQ(landmark_peaks(pcm, many()), wanted) << samples;
  }
}

TEST(LandmarkPeaks, SilenceHasNoneAndSilenceAroundASoundAddsNone) {
  EXPECT_TRUE(landmark_peaks({}, many()).empty());
  for (const std::size_t samples : {1U, 256U, 30000U}) {
    EXPECT_TRUE(landmark_peaks(std::vector<float>(samples, 0), many()).empty()) << samples;
  }
  std::vector<float> pcm(60000, 0);
  const std::vector<float> sound = noise(2000, 0.1, 3);
  std::copy(sound.begin(), sound.end(), pcm.begin() + 30000);
  for (const LandmarkPeak& peak : landmark_peaks(pcm, many())) {
    EXPECT_GE(peak.frame, (30000 - 256) / 256);
    EXPECT_LE(peak.frame, (32000 + 256) / 256 + 1);
  }
}

TEST(LandmarkPeaks, LoudnessChangesNothing) {
  const std::vector<float> loud = as_pcm(reference_sound(4, 20000));
  std::vector<float> quiet = loud;
  for (float& x : quiet) {
    x /= 1024;
  }
  EXPECT_GE(overlap(landmark_peaks(quiet, many()), landmark_peaks(loud, many())), 99);
}

TEST(LandmarkPeaks, OptionsOutOfRangeAreErrors) {
  const std::vector<float> pcm = noise(1000, 0.1, 1);
  for (const LandmarkPeakOptions& bad :
       {LandmarkPeakOptions{0, 30, 5}, LandmarkPeakOptions{-1, 30, 5}, LandmarkPeakOptions{1e5, 30, 5},
        LandmarkPeakOptions{20, 0, 5}, LandmarkPeakOptions{20, 30, 0}, LandmarkPeakOptions{20, 30, 257}}) {
    EXPECT_THROW(landmark_peaks(pcm, bad), Error);
  }
}

}  // namespace
}  // namespace earmark::kernels
