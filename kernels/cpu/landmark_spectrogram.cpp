// log |X| of a landmark spectrogram. A vector holds as many frames, one per lane: transforms of size 512 run side by
// side without a shuffle. The 512 real samples are 256 complex ones, transformed by radix 4 in place (decimation in
// frequency: bin k ends at k with its base-4 digits reversed), and taken apart into bins 0 to 256.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

#include "kernels/cpu/lanes.h"
#include "kernels/landmark_peaks.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

using Options = LandmarkPeakOptions;
using Lane = Vec<double>;

constexpr int kLaneCount = kLanes<double>;
constexpr int kPoints = Options::kTransform / 2;  // of the complex transform
constexpr std::size_t kRow = Options::kBins + 1;
constexpr std::int64_t kFramesPerTask = 64 * kLaneCount;

struct Complex {
  Lane re;
  Lane im;
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
  std::array<double, Options::kTransform> window{};  // Hann, periodic over kTransform + 1 samples without the zeros
  std::array<Twiddle, kPoints> roots{};              // exp(-2 pi i k / 256)
  std::array<Twiddle, kPoints / 2 + 1> halves{};     // exp(-2 pi i k / 512)
  std::array<int, kPoints> place{};                  // of bin k

  Tables() {
    for (std::size_t i = 0; i < window.size(); ++i) {
      window[i] = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i + 1) / (Options::kTransform + 1));
    }
    for (std::size_t k = 0; k < roots.size(); ++k) {
      roots[k] = root(static_cast<double>(k), kPoints);
      const std::size_t reversed = (k & 3U) << 6U | (k & 12U) << 2U | (k & 48U) >> 2U | k >> 6U;
      place[k] = static_cast<int>(reversed);
    }
    for (std::size_t k = 0; k < halves.size(); ++k) {
      halves[k] = root(static_cast<double>(k), Options::kTransform);
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
Lane log_of(Lane x) {
  using Ints = Vec<std::int64_t>;
  constexpr std::int64_t kMantissa = 0x000FFFFFFFFFFFFF;
  constexpr std::int64_t kHalf = 0x3FE0000000000000;  // exponent of [0.5, 1)
  constexpr double kLn2High = 6.93147180369123816490e-01;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  const Ints bits = reinterpret_cast<Ints>(x);
  Lane m = reinterpret_cast<Lane>((bits & kMantissa) | kHalf);
  Ints exponent = (bits >> 52) - 1022;
  const Ints low = m < std::numbers::sqrt2 / 2;  // all ones where true
  m = low ? m + m : m;
  exponent += low;
  const Lane s = (m - 1) / (m + 1);
  const Lane z = s * s;
  Lane p = broadcast(2.0 / 23);
  for (const double c :
       {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3}) {
    p = p * z + c;
  }
  const Lane e = __builtin_convertvector(exponent, Lane);
  const Lane log = e * kLn2High + (2 * s + (s * z * p + e * kLn2Low));
  return x < std::numeric_limits<double>::min() ? broadcast(-std::numeric_limits<double>::infinity()) : log;
}

/// Writes log |x| of one bin of each frame.
void put(double* out, int bin, Lane re, Lane im, int frames) {
  const Lane log = 0.5 * log_of(re * re + im * im);
  for (int f = 0; f < frames; ++f) {
    out[static_cast<std::size_t>(f) * kRow + static_cast<std::size_t>(bin)] = log[f];
  }
}

/// With E and O the transforms of even and odd samples: X[k] = E + w^k O, X[256 - k] = conj(E - w^k O).
void take_apart(const std::array<Complex, kPoints>& z, const Tables& t, int frames, double* out) {
  put(out, 0, z[0].re + z[0].im, Lane{}, frames);
  put(out, kPoints, z[0].re - z[0].im, Lane{}, frames);
  for (std::size_t k = 1; k <= kPoints / 2; ++k) {
    const Complex a = z[static_cast<std::size_t>(t.place[k])];
    const Complex b = z[static_cast<std::size_t>(t.place[kPoints - k])];
    const Complex even{0.5 * (a.re + b.re), 0.5 * (a.im - b.im)};
    const Complex odd{0.5 * (a.im + b.im), 0.5 * (b.re - a.re)};
    const Complex turned = odd * t.halves[k];
    put(out, static_cast<int>(k), even.re + turned.re, even.im + turned.im, frames);
    if (k < kPoints / 2) {
      put(out, static_cast<int>(kPoints - k), even.re - turned.re, turned.im - even.im, frames);
    }
  }
}

/// Where sample i of a sound continued by reflection at both ends lies, however short it is.
std::int64_t reflected(std::int64_t i, std::int64_t n) {
  if (n == 1) {
    return 0;
  }
  const std::int64_t period = 2 * (n - 1);
  const std::int64_t within = (i % period + period) % period;
  return within < n ? within : period - within;
}

/// Windowed samples of frames [first, first + frames), one frame per lane; lanes behind them repeat the last one.
void gather(std::span<const float> pcm, std::int64_t first, int frames, const Tables& t,
            std::array<Complex, kPoints>& z) {
  const auto n = static_cast<std::int64_t>(pcm.size());
  for (int lane = 0; lane < kLaneCount; ++lane) {
    const std::int64_t begin = (first + std::min(lane, frames - 1)) * Options::kHop - Options::kTransform / 2;
    double* to = reinterpret_cast<double*>(z.data()) + lane;  // re and im of each lane, kLaneCount apart
    if (begin >= 0 && begin + Options::kTransform <= n) {
      const float* from = pcm.data() + begin;
      for (std::size_t i = 0; i < Options::kTransform; ++i) {
        to[i * kLaneCount] = t.window[i] * static_cast<double>(from[i]);
      }
    } else {
      for (std::size_t i = 0; i < Options::kTransform; ++i) {
        const std::int64_t at = reflected(begin + static_cast<std::int64_t>(i), n);
        to[i * kLaneCount] = t.window[i] * static_cast<double>(pcm[static_cast<std::size_t>(at)]);
      }
    }
  }
}

}  // namespace

std::vector<double> landmark_log_magnitudes(std::span<const float> pcm) {
  const std::int64_t frames = landmark_frames(static_cast<std::int64_t>(pcm.size()));
  std::vector<double> out(static_cast<std::size_t>(frames) * kRow);
  const Tables& t = tables();
  parallel_ranges(frames, kFramesPerTask, [&](std::int64_t begin, std::int64_t end) {
    std::array<Complex, kPoints> z;
    for (std::int64_t first = begin; first < end; first += kLaneCount) {
      const int count = static_cast<int>(std::min<std::int64_t>(kLaneCount, end - first));
      gather(pcm, first, count, t, z);
      transform(z, t.roots);
      take_apart(z, t, count, out.data() + static_cast<std::size_t>(first) * kRow);
    }
  });
  return out;
}

}  // namespace earmark::kernels::cpu
