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

/// Four values `quarter` apart.
struct Four {
  Complex sum, first, second, third;
};

[[gnu::always_inline]] inline Four butterfly(const Complex* z, int quarter) {
  const Complex even = z[0] + z[2 * quarter];
  const Complex odd = z[0] - z[2 * quarter];
  const Complex sum = z[quarter] + z[3 * quarter];
  const Complex difference = z[quarter] - z[3 * quarter];
  const Complex turned{difference.im, -difference.re};  // times -i
  return {even + sum, odd + turned, even - sum, odd - turned};
}

/// Transforms each quarter of a block when the block is: what it reads is still near.
template <int Span>
void transform(Complex* z, const std::array<Twiddle, kPoints>& roots) {
  constexpr int kQuarter = Span / 4;
  constexpr std::size_t kStep = kPoints / Span;
  const Four unturned = butterfly(z, kQuarter);
  z[0] = unturned.sum;
  z[kQuarter] = unturned.first;
  z[2 * kQuarter] = unturned.second;
  z[3 * kQuarter] = unturned.third;
  for (int j = 1; j < kQuarter; ++j) {
    const std::size_t turn = static_cast<std::size_t>(j) * kStep;
    const Four four = butterfly(z + j, kQuarter);
    z[j] = four.sum;
    z[j + kQuarter] = four.first * roots[turn];
    z[j + 2 * kQuarter] = four.second * roots[2 * turn];
    z[j + 3 * kQuarter] = four.third * roots[3 * turn];
  }
  if constexpr (kQuarter > 1) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      transform<kQuarter>(z + quarter * kQuarter, roots);
    }
  }
}

/// log(x) / 2 to about one unit in the last place for normal x, x / 4 being what is meant: log |X| from the square of
/// 2 |X|. -infinity for anything smaller. x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh s = 2 (s + s^3 / 3
/// +
/// ...) with s = (m - 1) / (m + 1); from s^3 on a polynomial through Chebyshev's nodes, off by 5e-18 of the logarithm.
[[gnu::always_inline]] inline Frames half_log_of_quarter(Frames x) {
  using Ints = Vec<std::int64_t>;
  constexpr std::int64_t kRootOfHalf = 0x3FE6A09E667F3BCD;
  constexpr double kHalfLn2High = 6.93147180369123816490e-01 / 2;
  constexpr double kHalfLn2Low = 1.90821492927058770002e-10 / 2;
  const Ints bits = reinterpret_cast<Ints>(x);
  const Ints exponent = (bits - kRootOfHalf) >> 52;
  const Frames m = reinterpret_cast<Frames>(bits - (exponent << 52));
  const Frames s = (m - 1) / (m + 1);
  const Frames z = s * s;
  Frames p = broadcast(0.07308224910391238);
  for (const double c : {0.07665860794787153, 0.0909144456279605, 0.11111105567395273, 0.14285714312987757,
                         0.19999999999949752, 0.3333333333333335}) {
    p = p * z + c;
  }
  const Frames e = __builtin_convertvector(exponent - 2, Frames);
  const Frames log = e * kHalfLn2High + (s + (s * z * p + e * kHalfLn2Low));
  return x < 4 * std::numeric_limits<double>::min() ? broadcast(-std::numeric_limits<double>::infinity()) : log;
}

/// log |X| from 2 X.
[[gnu::always_inline]] inline Frames log_magnitude(Frames re, Frames im) {
  return half_log_of_quarter(re * re + im * im);
}

/// What is known of each frame's logarithms.
struct Summary {
  Frames low_sum{};  // of the lower bins
  Frames high_sum{};
  Frames lowest = broadcast(std::numeric_limits<double>::infinity());
  Frames largest = broadcast(-std::numeric_limits<double>::infinity());

  [[gnu::always_inline]] void note(const Frames& log) {
    lowest = log < lowest ? log : lowest;
    largest = log > largest ? log : largest;
  }
};

struct LogPair {
  Frames low;   // of bin k
  Frames high;  // of bin 256 - k
};

/// With E and O the transforms of even and odd samples, here twice as large: X[k] = E + w^k O, X[256 - k] = conj(E -
/// w^k O).
[[gnu::always_inline]] inline LogPair logs_of(const std::array<Complex, kPoints>& z, const Tables& t, std::size_t k) {
  if (k == 0) {
    return {log_magnitude(2 * (z[0].re + z[0].im), Frames{}), log_magnitude(2 * (z[0].re - z[0].im), Frames{})};
  }
  // By reference: a copy of the whole goes through memory, in pieces that are not forwarded to its parts.
  const Complex& a = z[static_cast<std::size_t>(t.place[k])];
  const Complex& b = z[static_cast<std::size_t>(t.place[kPoints - k])];
  const Complex even{a.re + b.re, a.im - b.im};
  const Complex odd{a.im + b.im, b.re - a.re};
  const Complex turned = odd * t.halves[k];
  return {log_magnitude(even.re + turned.re, even.im + turned.im),
          log_magnitude(even.re - turned.re, turned.im - even.im)};
}

/// Writes the logarithms of `frames` frames as rows, one after the other, as many bins at a time as a vector has
/// frames, from both ends to the middle.
Summary put_logs(const std::array<Complex, kPoints>& z, const Tables& t, int frames, double* out) {
  constexpr std::size_t kBinsAtOnce = kFramesAtOnce;
  Summary summary;
  Square<double> low;
  Square<double> high;
  for (std::size_t bin = 0; bin < kPoints / 2; bin += kBinsAtOnce) {
    for (std::size_t i = 0; i < kBinsAtOnce; ++i) {
      const LogPair logs = logs_of(z, t, bin + i);
      low[i] = logs.low;
      high[kBinsAtOnce - 1 - i] = logs.high;
      summary.low_sum += logs.low;
      summary.high_sum += logs.high;
      summary.note(logs.low);
      summary.note(logs.high);
    }
    transpose_lanes<double>(low);
    transpose_lanes<double>(high);
    for (std::size_t frame = 0; frame < static_cast<std::size_t>(frames); ++frame) {
      double* row = out + frame * LandmarkLogs::kStride;
      store(row + bin, low[frame]);
      store(row + kPoints + 1 - bin - kBinsAtOnce, high[frame]);
    }
  }
  const Frames middle = logs_of(z, t, kPoints / 2).low;
  summary.low_sum += middle;
  summary.note(middle);
  for (int frame = 0; frame < frames; ++frame) {
    out[frame * LandmarkLogs::kStride + kPoints / 2] = middle[frame];
  }
  return summary;
}

constexpr std::int64_t kHop = LandmarkPeakOptions::kHop;
constexpr int kFramesCutAtOnce = kLanes<float>;

/// Adding and taking away 1.5 * 2^23 leaves the nearest whole number, and of two the even one.
Vec<float> rounded_to_16_bits(Vec<float> x) {
  constexpr float kFull = 32768;
  constexpr float kRound = 12582912;
  x *= kFull;
  x = x > kFull - 1 ? Vec<float>{} + (kFull - 1) : x;
  x = x < -kFull ? Vec<float>{} - kFull : x;
  return (x + kRound - kRound) / kFull;
}

/// What frames that are cut together consist of: a frame is two hops of sound, and shares each with a neighbour. Sample
/// i of all hops stands side by side, one hop behind the other: `kFramesCutAtOnce + 1` of them.
using Hops = std::array<float, static_cast<std::size_t>(kHop*(kFramesCutAtOnce + 1))>;
constexpr int kHops = kFramesCutAtOnce + 1;

/// The same in the order of time.
using Sound = std::array<float, static_cast<std::size_t>(kHop* kHops)>;

/// Samples from the beginning of frame `first` to the end of the last of `frames`, reflected where that leaves the
/// sound, and zeros behind them; in the sound itself where it has as many, else in `copy`.
const float* samples_of(std::span<const float> pcm, std::int64_t first, int frames, Sound& copy) {
  static_assert(LandmarkPeakOptions::kTransform == 2 * kHop);
  const auto n = static_cast<std::int64_t>(pcm.size());
  const std::int64_t begin = first * kHop - LandmarkPeakOptions::kTransform / 2;
  if (begin >= 0 && begin + std::ssize(copy) <= n) {
    return pcm.data() + begin;
  }
  copy.fill(0);
  for (std::int64_t i = 0; i < (frames + 1) * kHop; ++i) {
    copy[static_cast<std::size_t>(i)] = pcm[static_cast<std::size_t>(reflected(begin + i, n))];
  }
  return copy.data();
}

/// Puts hops side by side, in 16 bits where wanted: each sample is looked at once, though it is in two frames.
void turn(const float* sound, bool in_16_bits, Hops& hops) {
  const auto ready = [in_16_bits](Vec<float> x) { return in_16_bits ? rounded_to_16_bits(x) : x; };
  Square<float> square;
  for (std::int64_t i = 0; i < kHop; i += kFramesCutAtOnce) {
    for (std::int64_t hop = 0; hop < kFramesCutAtOnce; ++hop) {
      square[static_cast<std::size_t>(hop)] = ready(load(sound + hop * kHop + i));
    }
    transpose_lanes<float>(square);
    std::array<float, kFramesCutAtOnce> last;
    store(last.data(), ready(load(sound + kFramesCutAtOnce * kHop + i)));
    for (std::int64_t j = 0; j < kFramesCutAtOnce; ++j) {
      float* at = hops.data() + (i + j) * kHops;
      store(at, square[static_cast<std::size_t>(j)]);
      at[kFramesCutAtOnce] = last[static_cast<std::size_t>(j)];
    }
  }
}

/// Windowed samples of frames from one of those that are cut together on, one frame per lane, through the first stage
/// of the transform.
void window(const float* hops, const Tables& t, std::array<Complex, kPoints>& z) {
  constexpr int kQuarter = kPoints / 4;
  const auto sample = [&](int i) {
    const float* at = hops + i % kHop * kHops + i / kHop;
    return t.window[static_cast<std::size_t>(i)] * __builtin_convertvector(load_as<HalfVec<float>>(at), Frames);
  };
  for (int j = 0; j < kQuarter; ++j) {
    std::array<Complex, 4> cut;
    for (int quarter = 0; quarter < 4; ++quarter) {
      const int at = 2 * (j + quarter * kQuarter);
      cut[static_cast<std::size_t>(quarter)].re = sample(at);
      cut[static_cast<std::size_t>(quarter)].im = sample(at + 1);
    }
    const auto turned = static_cast<std::size_t>(j);
    const Four four = butterfly(cut.data(), 1);
    z[turned] = four.sum;
    z[turned + kQuarter] = four.first * t.roots[turned];
    z[turned + 2 * kQuarter] = four.second * t.roots[2 * turned];
    z[turned + 3 * kQuarter] = four.third * t.roots[3 * turned];
  }
}

/// Has the cache lines of [from, from + count) on their way, to be written or read: the processor itself does not see
/// that far ahead.
template <bool kToWrite, class T>
void expect(const T* from, std::int64_t count) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  for (std::int64_t i = 0; i < count; i += kLine) {
    __builtin_prefetch(from + i, kToWrite ? 1 : 0);
  }
}

/// The sound of frames [first, first + kFramesAtOnce), as far as there is any.
void expect_sound(std::span<const float> pcm, std::int64_t first) {
  const std::int64_t begin = std::clamp<std::int64_t>(first * kHop, 0, std::ssize(pcm));
  expect<false>(pcm.data() + begin, std::min<std::int64_t>(kFramesAtOnce * kHop, std::ssize(pcm) - begin));
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
    Sound sound;
    Hops hops;
    for (std::int64_t first = begin; first < end; first += kFramesAtOnce) {
      const std::int64_t within = (first - begin) % kFramesCutAtOnce;
      if (within == 0) {
        const int cut = static_cast<int>(std::min<std::int64_t>(kFramesCutAtOnce, end - first));
        turn(samples_of(pcm, first, cut, sound), in_16_bits, hops);
      }
      const int count = static_cast<int>(std::min<std::int64_t>(kFramesAtOnce, end - first));
      double* out_rows = rows + static_cast<std::size_t>(first) * LandmarkLogs::kStride;
      expect<true>(out_rows, count * LandmarkLogs::kStride);
      expect_sound(pcm, first + 2 * kFramesCutAtOnce);
      window(hops.data() + within, t, z);
      for (std::size_t quarter = 0; quarter < kPoints; quarter += kPoints / 4) {
        transform<kPoints / 4>(z.data() + quarter, t.roots);
      }
      const Summary summary = put_logs(z, t, count, out_rows);
      store_first(out.sums.data() + first, summary.low_sum + summary.high_sum, count);
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
