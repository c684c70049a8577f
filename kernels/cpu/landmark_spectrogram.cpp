// log |X| of a landmark spectrogram. A vector holds as many frames, one per lane: transforms of size 512 run side by
// side without a shuffle. The 512 real samples are 256 complex ones, transformed by radix 4 in place (decimation in
// frequency: bin k ends at k with its base-4 digits reversed), and taken apart into bins 0 to 256.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/reflection.h"
#include "kernels/cpu/transpose_lanes.h"
#include "kernels/landmark_peaks.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

using Frames = Vec<double>;  // a number of as many frames

constexpr int kFramesAtOnce = kLanes<double>;
constexpr int kPoints = LandmarkPeakOptions::kTransform / 2;  // of the complex transform
constexpr std::int64_t kFramesPerTask = 64 * kFramesAtOnce;

struct Complex {
  Frames re;
  Frames im;
};

struct Twiddle {
  double re;
  double im;
};

Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
Complex operator*(Complex a, Twiddle w) { return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re}; }

/// exp(-2 pi i k / n)
Twiddle root(double k, double n) {
  const double angle = -2 * std::numbers::pi * k / n;
  return {std::cos(angle), std::sin(angle)};
}

struct Tables {
  // Hann, periodic over kTransform + 1 samples without the zeros
  std::array<double, LandmarkPeakOptions::kTransform> window{};
  std::array<Twiddle, kPoints> roots{};           // exp(-2 pi i k / 256)
  std::array<Twiddle, kPoints / 2 + 1> halves{};  // exp(-2 pi i k / 512)
  std::array<int, kPoints> place{};               // of bin k

  Tables() {
    for (std::size_t i = 0; i < window.size(); ++i) {
      window[i] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i + 1) /
                                       (LandmarkPeakOptions::kTransform + 1));
    }
    for (std::size_t k = 0; k < roots.size(); ++k) {
      roots[k] = root(static_cast<double>(k), kPoints);
      const std::size_t reversed = (k & 3U) << 6U | (k & 12U) << 2U | (k & 48U) >> 2U | k >> 6U;
      place[k] = static_cast<int>(reversed);
    }
    for (std::size_t k = 0; k < halves.size(); ++k) {
      halves[k] = root(static_cast<double>(k), LandmarkPeakOptions::kTransform);
    }
  }
};

const Tables& tables() {
  static const Tables made;
  return made;
}

void butterfly(Complex* z, int quarter, Twiddle w1, Twiddle w2, Twiddle w3) {
  const Complex even = z[0] + z[2 * quarter];
  const Complex odd = z[0] - z[2 * quarter];
  const Complex sum = z[quarter] + z[3 * quarter];
  const Complex difference = z[quarter] - z[3 * quarter];
  const Complex turned{difference.im, -difference.re};  // times -i
  z[0] = even + sum;
  z[quarter] = (odd + turned) * w1;
  z[2 * quarter] = (even - sum) * w2;
  z[3 * quarter] = (odd - turned) * w3;
}

void transform(std::array<Complex, kPoints>& z, const std::array<Twiddle, kPoints>& roots) {
  for (int span = kPoints; span > 1; span /= 4) {
    const int quarter = span / 4;
    const auto step = static_cast<std::size_t>(kPoints / span);
    for (int j = 0; j < quarter; ++j) {
      const std::size_t turn = static_cast<std::size_t>(j) * step;
      for (int begin = j; begin < kPoints; begin += span) {
        butterfly(z.data() + begin, quarter, roots[turn], roots[2 * turn], roots[3 * turn]);
      }
    }
  }
}

/// log x to about one unit in the last place for normal x; -infinity for anything smaller.
/// x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh((m - 1) / (m + 1)).
[[gnu::always_inline]] inline Frames log_of(Frames x) {
  using Ints = Vec<std::int64_t>;
  constexpr std::int64_t kMantissa = 0x000FFFFFFFFFFFFF;
  constexpr std::int64_t kHalf = 0x3FE0000000000000;  // exponent of [0.5, 1)
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const Ints bits = reinterpret_cast<Ints>(x);
  Frames m = reinterpret_cast<Frames>((bits & kMantissa) | kHalf);
  Ints exponent = (bits >> 52) - 1022;
  const Ints low = m < std::numbers::sqrt2 / 2;  // all ones where true
  m = low ? m + m : m;
  exponent += low;
  const Frames s = (m - 1) / (m + 1);
  const Frames z = s * s;
  Frames p = broadcast(2.0 / 23);
  for (const double c :
       {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3}) {
    p = p * z + c;
  }
  const Frames e = __builtin_convertvector(exponent, Frames);
  const Frames log = e * kLn2High + (2 * s + (s * z * p + e * kLn2Low));
  return x < std::numeric_limits<double>::min() ? broadcast(-std::numeric_limits<double>::infinity()) : log;
}

Frames log_magnitude(Frames re, Frames im) { return 0.5 * log_of(re * re + im * im); }

using Logs = std::array<Frames, LandmarkLogs::kRow>;

/// With E and O the transforms of even and odd samples: X[k] = E + w^k O, X[256 - k] = conj(E - w^k O).
void take_apart(const std::array<Complex, kPoints>& z, const Tables& t, Logs& logs) {
  logs[0] = log_magnitude(z[0].re + z[0].im, Frames{});
  logs[kPoints] = log_magnitude(z[0].re - z[0].im, Frames{});
  for (std::size_t k = 1; k <= kPoints / 2; ++k) {
    // By reference: a copy of the whole goes through memory, in pieces that are not forwarded to its parts.
    const Complex& a = z[static_cast<std::size_t>(t.place[k])];
    const Complex& b = z[static_cast<std::size_t>(t.place[kPoints - k])];
    const Complex even{0.5 * (a.re + b.re), 0.5 * (a.im - b.im)};
    const Complex odd{0.5 * (a.im + b.im), 0.5 * (b.re - a.re)};
    const Complex turned = odd * t.halves[k];
    logs[k] = log_magnitude(even.re + turned.re, even.im + turned.im);
    logs[kPoints - k] = log_magnitude(even.re - turned.re, turned.im - even.im);  // the same again at the middle
  }
}

/// The rows of `frames` frames, one after the other.
void put(const Logs& logs, int frames, double* out) {
  Square<double> square;
  for (std::size_t bin = 0; bin + kFramesAtOnce < LandmarkLogs::kRow; bin += kFramesAtOnce) {
    for (std::size_t i = 0; i < square.size(); ++i) {
      square[i] = load(reinterpret_cast<const double*>(&logs[bin + i]));  // as a whole: a copy would be made in halves
    }
    transpose_lanes<double>(square);
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(frames); ++frame) {
      store(out + frame * LandmarkLogs::kStride + bin, square[frame]);
    }
  }
  for (int frame = 0; frame < frames; ++frame) {
    out[static_cast<std::size_t>(frame) * LandmarkLogs::kStride + LandmarkLogs::kRow - 1] =
        logs[LandmarkLogs::kRow - 1][frame];
  }
}

/// What is known of each frame's logarithms.
struct Summary {
  Frames sum{};
  Frames lowest = broadcast(std::numeric_limits<double>::infinity());
  Frames largest = broadcast(-std::numeric_limits<double>::infinity());
};

Summary summary_of(const Logs& logs) {
  Summary out;
  for (const Frames& log : logs) {
    out.sum += log;
    out.lowest = log < out.lowest ? log : out.lowest;
    out.largest = log > out.largest ? log : out.largest;
  }
  return out;
}

using Samples = HalfVec<float>;

/// Adding and taking away 1.5 * 2^23 leaves the nearest whole number, and of two the even one.
Samples rounded_to_16_bits(Samples x) {
  constexpr float kFull = 32768;
  constexpr float kRound = 12582912;
  x *= kFull;
  x = x > kFull - 1 ? Samples{} + (kFull - 1) : x;
  x = x < -kFull ? Samples{} - kFull : x;
  return (x + kRound - kRound) / kFull;
}

/// The samples of a frame, and where it leaves the sound their reflections.
const float* samples_of(std::span<const float> pcm, std::int64_t frame,
                        std::array<float, LandmarkPeakOptions::kTransform>& copy) {
  const auto n = static_cast<std::int64_t>(pcm.size());
  const std::int64_t begin = frame * LandmarkPeakOptions::kHop - LandmarkPeakOptions::kTransform / 2;
  if (begin >= 0 && begin + LandmarkPeakOptions::kTransform <= n) {
    return pcm.data() + begin;
  }
  for (std::size_t i = 0; i < copy.size(); ++i) {
    copy[i] = pcm[static_cast<std::size_t>(reflected(begin + static_cast<std::int64_t>(i), n))];
  }
  return copy.data();
}

/// Windowed samples of frames [first, first + frames), one frame per lane; lanes behind them repeat the last one.
void gather(std::span<const float> pcm, std::int64_t first, int frames, const Tables& t, bool in_16_bits,
            std::array<Complex, kPoints>& z) {
  std::array<std::array<float, LandmarkPeakOptions::kTransform>, kFramesAtOnce> copies;
  std::array<const float*, kFramesAtOnce> from;
  for (std::size_t lane = 0; lane < kFramesAtOnce; ++lane) {
    const std::int64_t frame = first + std::min<std::int64_t>(static_cast<std::int64_t>(lane), frames - 1);
    from[lane] = samples_of(pcm, frame, copies[lane]);
  }
  auto* to = reinterpret_cast<double*>(z.data());
  Square<double> square;
  for (std::size_t i = 0; i < LandmarkPeakOptions::kTransform; i += kFramesAtOnce) {
    const Frames window = load(t.window.data() + i);
    for (std::size_t lane = 0; lane < kFramesAtOnce; ++lane) {
      const auto raw = load_as<Samples>(from[lane] + i);
      square[lane] = window * __builtin_convertvector(in_16_bits ? rounded_to_16_bits(raw) : raw, Frames);
    }
    transpose_lanes<double>(square);
    for (std::size_t j = 0; j < kFramesAtOnce; ++j) {
      store(to + (i + j) * kFramesAtOnce, square[j]);
    }
  }
}

}  // namespace

LandmarkLogs landmark_log_magnitudes(std::span<const float> pcm, bool in_16_bits) {
  const std::int64_t frames = landmark_frames(static_cast<std::int64_t>(pcm.size()));
  LandmarkLogs out;
  out.rows = Tensor({frames, LandmarkLogs::kStride}, DType::f64);
  out.sums.resize(static_cast<std::size_t>(frames));
  out.lowest.resize(out.sums.size());
  std::vector<double> largest(out.sums.size());
  auto* rows = out.rows.mutable_data<double>();
  const Tables& t = tables();
  parallel_ranges(frames, kFramesPerTask, [&](std::int64_t begin, std::int64_t end) {
    std::array<Complex, kPoints> z;
    Logs logs;
    for (std::int64_t first = begin; first < end; first += kFramesAtOnce) {
      const int count = static_cast<int>(std::min<std::int64_t>(kFramesAtOnce, end - first));
      gather(pcm, first, count, t, in_16_bits, z);
      transform(z, t.roots);
      take_apart(z, t, logs);
      put(logs, count, rows + static_cast<std::size_t>(first) * LandmarkLogs::kStride);
      const Summary summary = summary_of(logs);
      store_first(out.sums.data() + first, summary.sum, count);
      store_first(out.lowest.data() + first, summary.lowest, count);
      store_first(largest.data() + first, summary.largest, count);
    }
  });
  for (const double of_frame : largest) {
    out.largest = std::max(out.largest, of_frame);
  }
  return out;
}

}  // namespace earmark::kernels::cpu
