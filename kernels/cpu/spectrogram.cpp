#include "kernels/spectrogram.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "kernels/cpu/reflection.h"
#include "kernels/cpu/transpose.h"
#include "kernels/fft.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kFrameLanes = 16;  // frames that share one pass over the mel filters

// The last used weights are kept: a program has one set of options, rarely two.
std::shared_ptr<const SpectrogramWeights> weights_for(const FeatureOptions& options) {
  static std::mutex mutex;
  static std::shared_ptr<const SpectrogramWeights> last;
  const std::scoped_lock lock(mutex);
  if (!last || last->options != options) {
    last = std::make_shared<SpectrogramWeights>(options);
  }
  return last;
}

struct alignas(64) Line {
  std::array<float, 16> values;
};

/// 64-byte aligned floats, kept per thread.
class Scratch {
 public:
  float* get(std::int64_t count) {
    lines_.resize(std::max(lines_.size(), static_cast<std::size_t>((count + 15) / 16)));
    return lines_.front().values.data();
  }

 private:
  std::vector<Line> lines_;
};

// Windowed samples around `centre`, every second float of `out`.
void window_frame(std::span<const float> pcm, std::int64_t centre, const std::vector<float>& window, float* out) {
  const auto n = static_cast<std::int64_t>(window.size());
  const auto samples = static_cast<std::int64_t>(pcm.size());
  const std::int64_t begin = centre - n / 2;
  if (begin >= 0 && begin + n <= samples) {
    const float* x = pcm.data() + begin;
    for (std::int64_t i = 0; i < n; ++i) {
      out[2 * i] = x[i] * window[static_cast<std::size_t>(i)];
    }
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    out[2 * i] = pcm[static_cast<std::size_t>(reflected(begin + i, samples))] * window[static_cast<std::size_t>(i)];
  }
}

// Power of the two real frames a + i·b from their joint transform z: A[k] = (Z[k] + conj Z[n-k]) / 2, B[k] = (Z[k] -
// conj Z[n-k]) / 2i. power (bins, kFrameLanes): frame a goes to column 0, b to column 1.
void split_power(const float* z, std::int64_t n, float* power) {
  power[0] = z[0] * z[0];
  power[1] = z[1] * z[1];
  for (std::int64_t k = 1; k <= n / 2; ++k) {
    const float sum_re = z[2 * k] + z[2 * (n - k)];
    const float sum_im = z[2 * k + 1] + z[2 * (n - k) + 1];
    const float difference_re = z[2 * k] - z[2 * (n - k)];
    const float difference_im = z[2 * k + 1] - z[2 * (n - k) + 1];
    power[k * kFrameLanes] = 0.25F * (sum_re * sum_re + difference_im * difference_im);
    power[k * kFrameLanes + 1] = 0.25F * (sum_im * sum_im + difference_re * difference_re);
  }
}

// 10·log10(x) for x >= 1e-10: exponent and a polynomial for the mantissa in [sqrt(1/2), sqrt(2)), error below 1e-5 dB.
inline float decibels(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - (exponent << 23)) - 1.0F;
  // ln(1 + m), coefficients of Cephes' logf.
  float p = 7.0376836292e-2F;
  p = p * m - 1.1514610310e-1F;
  p = p * m + 1.1676998740e-1F;
  p = p * m - 1.2420140846e-1F;
  p = p * m + 1.4249322787e-1F;
  p = p * m - 1.6668057665e-1F;
  p = p * m + 2.0000714765e-1F;
  p = p * m - 2.4999993993e-1F;
  p = p * m + 3.3333331174e-1F;
  const float ln = m - 0.5F * m * m + m * m * m * p;
  return 4.3429448190F * ln + 3.0102999566F * static_cast<float>(exponent);
}

void mel_logarithms(const SpectrogramWeights& filters, const float* spectrum, float* mel) {
  const bool magnitude = filters.options.compression == FeatureOptions::Compression::log_magnitude;
  for (std::size_t m = 0; m < filters.first_bins.size(); ++m) {
    std::array<float, kFrameLanes> sum{};
    const float* p = spectrum + filters.first_bins[m] * kFrameLanes;
    for (std::int32_t i = filters.begins[m]; i < filters.begins[m + 1]; ++i) {
      const float weight = filters.weights[static_cast<std::size_t>(i)];
      for (std::size_t lane = 0; lane < kFrameLanes; ++lane) {
        sum[lane] += weight * p[lane];
      }
      p += kFrameLanes;
    }
    for (std::size_t lane = 0; lane < kFrameLanes; ++lane) {
      mel[m * kFrameLanes + lane] =
          magnitude ? 0.1F * decibels(sum[lane] + kMagnitudeOffset) : decibels(std::max(sum[lane], 1e-10F));
    }
  }
}

// Up to kFrameLanes frames, `centre` the first one's, to out (count, mel_bands).
void log_mel_tile(const SpectrogramWeights& weights, std::span<const float> pcm, std::int64_t centre,
                  std::int64_t count, float* out) {
  const std::int64_t n = weights.options.n_fft;
  const std::int64_t bands = weights.options.mel_bands;
  thread_local Scratch scratch;
  float* in = scratch.get(4 * n + (n / 2 + 1 + bands) * kFrameLanes);
  float* z = in + 2 * n;
  float* power = z + 2 * n;
  float* mel = power + (n / 2 + 1) * kFrameLanes;
  const Fft& fft = thread_fft(n);
  for (std::int64_t frame = 0; frame < kFrameLanes; frame += 2) {
    // Lanes past the end repeat the last frame: finite, and thrown away.
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t mine = std::min(frame + half, count - 1);
      window_frame(pcm, centre + mine * weights.options.hop, weights.window, in + half);
    }
    fft.forward(reinterpret_cast<std::complex<float>*>(in), reinterpret_cast<std::complex<float>*>(z));
    split_power(z, n, power + frame);
    if (frame + 2 >= count) {
      break;
    }
  }
  if (weights.options.compression == FeatureOptions::Compression::log_magnitude) {
    std::transform(power, mel, power, [](float p) { return std::sqrt(p); });
  }
  mel_logarithms(weights, power, mel);
  for (std::int64_t frame = 0; frame < count; ++frame) {
    for (std::int64_t m = 0; m < bands; ++m) {
      out[frame * bands + m] = mel[m * kFrameLanes + frame];
    }
  }
}

void subtract(std::span<float> x, float offset) {
  for (float& v : x) {
    v -= offset;
  }
}

void subtract_mean(std::span<float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v);
  }
  subtract(x, static_cast<float>(sum / static_cast<double>(x.size())));
}

void scale_below_maximum(std::span<float> x, float floor_db) {
  std::array<float, kFrameLanes> top{};
  top.fill(-std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < x.size(); ++i) {
    top[i % kFrameLanes] = std::max(top[i % kFrameLanes], x[i]);
  }
  const float maximum = *std::max_element(top.begin(), top.end());
  for (float& v : x) {
    v = 1.0F - 2.0F * std::max(v - maximum, floor_db) / floor_db;
  }
}

}  // namespace

void log_mel(const FeatureOptions& options, const LogMel& args) {
  const auto weights = weights_for(options);
  const std::int64_t samples = args.pcm.dim(1);
  const std::int64_t frames = args.out.dim(1);
  const std::int64_t tiles = (frames + kFrameLanes - 1) / kFrameLanes;
  constexpr std::int64_t kTilesPerTask = 8;
  parallel_ranges(args.pcm.dim(0) * tiles, kTilesPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / tiles;
      const std::int64_t frame = i % tiles * kFrameLanes;
      log_mel_tile(
          *weights,
          args.pcm.values<float>().subspan(static_cast<std::size_t>(row * samples), static_cast<std::size_t>(samples)),
          args.first_centre + frame * options.hop, std::min(kFrameLanes, frames - frame),
          args.out.mutable_data<float>() + (row * frames + frame) * options.mel_bands);
    }
  });
}

void cut_segments(const FeatureOptions& options, const CutSegments& args) {
  const std::int64_t bands = options.mel_bands;
  const std::int64_t frames = options.frames;
  const auto numel = static_cast<std::size_t>(bands * frames);
  const auto cut = [&](std::int64_t i) {
    const std::int64_t first = args.first_frames.empty() ? args.first_frame + i * args.hop_frames
                                                         : args.first_frames[static_cast<std::size_t>(i)];
    const std::span<float> out(args.out.mutable_data<float>() + i * bands * frames, numel);
    transpose(args.log_mel.data<float>() + first * bands, bands, frames, bands, out.data(), frames);
    if (options.normalization == FeatureOptions::Normalization::mean) {
      subtract_mean(out);
    } else if (options.normalization == FeatureOptions::Normalization::max_relative) {
      scale_below_maximum(out, static_cast<float>(options.floor_db));
    } else if (options.normalization == FeatureOptions::Normalization::batch_maximum) {
      subtract(out, *args.maximum.data<float>());
    }
  };
  constexpr std::int64_t kMostPerTask = 16;
  const std::int64_t count = args.out.dim(0);
  parallel_ranges(count, even_grain(count, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      cut(i);
    }
  });
}

}  // namespace earmark::kernels::cpu
