#include "kernels/mix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

// In double, in eight fixed partial sums: vectors, and the same bits everywhere.
double energy(std::span<const float> x) {
  std::array<double, 8> sums{};
  const std::size_t whole = x.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) {
      sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(x[i + j]);
    }
  }
  double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  for (std::size_t i = whole; i < x.size(); ++i) {
    total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return total;
}

}  // namespace

void mix_at_snr(const MixAtSnr& args) {
  const auto samples = static_cast<std::size_t>(args.signal.dim(1));
  const auto begin = static_cast<std::size_t>(args.begin);
  const auto measured = static_cast<std::size_t>(args.end - args.begin);
  parallel_for(args.signal.dim(0), [&](std::int64_t row) {
    const auto offset = static_cast<std::size_t>(row) * samples;
    const auto signal = args.signal.values<float>().subspan(offset, samples);
    const auto noise = args.noise.values<float>().subspan(offset, samples);
    const double noise_energy = energy(noise.subspan(begin, measured));
    const double wanted =
        energy(signal.subspan(begin, measured)) *
        std::pow(10.0, -0.1 * static_cast<double>(args.snr_db.values<float>()[static_cast<std::size_t>(row)]));
    const auto gain = static_cast<float>(noise_energy > 0 ? std::sqrt(wanted / noise_energy) : 0.0);
    float* out = args.out.mutable_data<float>() + offset;
    for (std::size_t i = 0; i < samples; ++i) {
      out[i] = signal[i] + gain * noise[i];
    }
  });
}

void peak_normalize(const PeakNormalize& args) {
  const std::int64_t samples = args.x.dim(1);
  parallel_for(args.x.dim(0), [&](std::int64_t row) {
    float* x = args.x.mutable_data<float>() + row * samples;
    float peak = 0;
    for (std::int64_t i = 0; i < samples; ++i) {
      peak = std::max(peak, std::fabs(x[i]));
    }
    const float scale = peak > 0 ? args.peak / peak : 1.0F;
    for (std::int64_t i = 0; i < samples; ++i) {
      x[i] *= scale;
    }
  });
}

}  // namespace earmark::kernels::cpu
