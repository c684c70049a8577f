// Two launches each: blocks take parts of kPart samples of a row, 16 bytes a thread at a time where rows begin so, and
// leave what they found (energies in double, largest magnitudes); the second launch reads the parts of its row and
// scales. Parts are added in a fixed order that depends on the row's length alone, so a row's bits do not depend on the
// others.
// Floor on an H100: mix_at_snr reads two rows, twice where they leave the L2 cache, and writes one: 12 to 20 bytes a
// sample over 3.35 TB/s; peak_normalize 8 to 12; two operations a sample are a fiftieth of that. A training batch of
// 320 rows of 15,872 samples: 18 to 30 us and 12 to 18 us. Nothing but streaming, in more blocks than the GPU holds:
// nine tenths of it are to be expected.
#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/upload.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/mix.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = kVector<float>;
constexpr std::int64_t kPart = 4096;

__host__ __device__ __forceinline__ std::int64_t parts_of(std::int64_t samples) {
  return (samples + kPart - 1) / kPart;
}

/// The part of a row of `samples` that block `block` owns.
struct Part {
  std::int64_t row, begin, end;

  __device__ Part(std::int64_t block, std::int64_t samples) {
    const std::int64_t parts = parts_of(samples);
    row = block / parts;
    begin = block % parts * kPart;
    end = begin + kPart < samples ? begin + kPart : samples;
  }
};

/// Calls f(i) for every kWide-th sample i of a part.
template <class F>
__device__ __forceinline__ void for_groups(const Part& part, const F& f) {
  for (std::int64_t i = part.begin + kWide * static_cast<std::int64_t>(threadIdx.x); i < part.end;
       i += kWide * kThreads) {
    f(i);
  }
}

/// energies (rows, parts, 2): of signal and of noise, over samples [begin, begin + measured) of rows of `samples`.
__global__ void __launch_bounds__(kThreads) energy_kernel(const float* signal, const float* noise, std::int64_t samples,
                                                          std::int64_t begin, std::int64_t measured, double* energies) {
  const Part part(blockIdx.x, measured);
  signal += part.row * samples + begin;
  noise += part.row * samples + begin;
  const bool wide = is_aligned<kWide>(signal) && is_aligned<kWide>(noise);
  double signal_energy = 0;
  double noise_energy = 0;
  for_groups(part, [&](std::int64_t i) {
    const Vector<float, kWide> s = load_some<kWide>(signal, i, part.end, wide);
    const Vector<float, kWide> n = load_some<kWide>(noise, i, part.end, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      signal_energy += static_cast<double>(s[k]) * static_cast<double>(s[k]);
      noise_energy += static_cast<double>(n[k]) * static_cast<double>(n[k]);
    }
  });
  signal_energy = block_sum<kThreads>(signal_energy);
  noise_energy = block_sum<kThreads>(noise_energy);
  if (threadIdx.x == 0) {
    energies[2 * static_cast<std::int64_t>(blockIdx.x)] = signal_energy;
    energies[2 * static_cast<std::int64_t>(blockIdx.x) + 1] = noise_energy;
  }
}

/// out = signal + gain * noise with the gain that `energies` (rows, parts, 2) ask for.
__global__ void __launch_bounds__(kThreads)
    add_noise_kernel(const float* signal, const float* noise, std::int64_t samples, const double* energies,
                     std::int64_t parts, const float* snr_db, float* out) {
  __shared__ float shared_gain;
  const Part part(blockIdx.x, samples);
  double signal_energy = 0;
  double noise_energy = 0;
  for (std::int64_t i = threadIdx.x; i < parts; i += kThreads) {
    signal_energy += energies[2 * (part.row * parts + i)];
    noise_energy += energies[2 * (part.row * parts + i) + 1];
  }
  signal_energy = block_sum<kThreads>(signal_energy);
  noise_energy = block_sum<kThreads>(noise_energy);
  if (threadIdx.x == 0) {
    const double wanted = signal_energy * pow(10.0, -0.1 * static_cast<double>(snr_db[part.row]));
    shared_gain = static_cast<float>(noise_energy > 0 ? sqrt(wanted / noise_energy) : 0.0);
  }
  __syncthreads();
  const float gain = shared_gain;
  signal += part.row * samples;
  noise += part.row * samples;
  out += part.row * samples;
  const bool wide = is_aligned<kWide>(signal) && is_aligned<kWide>(noise) && is_aligned<kWide>(out);
  for_groups(part, [&](std::int64_t i) {
    Vector<float, kWide> mixed = load_some<kWide>(signal, i, part.end, wide);
    const Vector<float, kWide> n = load_some<kWide>(noise, i, part.end, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      mixed[k] = mixed[k] + gain * n[k];
    }
    store_some(out, i, part.end, wide, mixed);
  });
}

/// peaks (rows, parts); a sample that is not a number is passed over, as on the CPU.
__global__ void __launch_bounds__(kThreads) peak_kernel(const float* x, std::int64_t samples, float* peaks) {
  const Part part(blockIdx.x, samples);
  x += part.row * samples;
  const bool wide = is_aligned<kWide>(x);
  float peak = 0;
  for_groups(part, [&](std::int64_t i) {
    const Vector<float, kWide> v = load_some<kWide>(x, i, part.end, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      peak = fmaxf(peak, fabsf(v[k]));
    }
  });
  peak = block_max<kThreads>(peak);
  if (threadIdx.x == 0) {
    peaks[blockIdx.x] = peak;
  }
}

__global__ void __launch_bounds__(kThreads)
    scale_to_peak_kernel(float* x, std::int64_t samples, const float* peaks, float wanted) {
  const Part part(blockIdx.x, samples);
  const std::int64_t parts = parts_of(samples);
  float peak = 0;
  for (std::int64_t i = threadIdx.x; i < parts; i += kThreads) {
    peak = fmaxf(peak, peaks[part.row * parts + i]);
  }
  peak = block_max<kThreads>(peak);
  const float scale = peak > 0 ? wanted / peak : 1.0F;
  x += part.row * samples;
  const bool wide = is_aligned<kWide>(x);
  for_groups(part, [&](std::int64_t i) {
    Vector<float, kWide> v = load_some<kWide>(x, i, part.end, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      v[k] *= scale;
    }
    store_some(x, i, part.end, wide, v);
  });
}

}  // namespace

void mix_at_snr(const MixAtSnr& args) {
  const std::int64_t rows = args.signal.dim(0);
  const std::int64_t samples = args.signal.dim(1);
  const std::int64_t parts = parts_of(args.end - args.begin);
  const Device device = args.signal.device();
  const bool there = args.snr_db.device() == device;
  const Tensor copy = there ? Tensor() : upload(args.snr_db.values<float>(), device);
  const float* snr_db = there ? args.snr_db.data<float>() : uploaded<float>(copy);
  const Tensor energies({rows, parts, 2}, DType::f64, device);
  launch(energy_kernel, blocks(rows * parts, kThreads), args.signal.data<float>(), args.noise.data<float>(), samples,
         args.begin, args.end - args.begin, energies.mutable_data<double>());
  launch(add_noise_kernel, blocks(rows * parts_of(samples), kThreads), args.signal.data<float>(),
         args.noise.data<float>(), samples, energies.data<double>(), parts, snr_db, args.out.mutable_data<float>());
}

void peak_normalize(const PeakNormalize& args) {
  const std::int64_t rows = args.x.dim(0);
  const std::int64_t samples = args.x.dim(1);
  const std::int64_t parts = parts_of(samples);
  const Tensor peaks({rows, parts}, DType::f32, args.x.device());
  launch(peak_kernel, blocks(rows * parts, kThreads), args.x.data<float>(), samples, peaks.mutable_data<float>());
  launch(scale_to_peak_kernel, blocks(rows * parts, kThreads), args.x.mutable_data<float>(), samples,
         peaks.data<float>(), args.peak);
}

}  // namespace earmark::kernels::cuda
