// log_mel: frames are taken in batches whose samples and bins stay in the L2 cache. A block writes each windowed frame,
// cuFFT transforms them, and a block takes a tile of frames through the mel filters: their power lies in shared memory,
// frames side by side, so that all lanes of a warp read one weight and neighbouring powers.
// Floor for a frame of the usual 512 samples, hop 160, 64 bands: 640 bytes of signal and 256 of decibels over 3.35 TB/s
// (H100) are 0.27 ns; 11,500 operations of the transform and 1,000 of the filters over 67 TFLOP/s, 0.19 ns. Some 10 KB
// cross the L2 cache (5.5 TB/s) on the way: 1.9 ns, so a seventh of the floor is to be expected; a fused transform
// could save that, but an hour of sound, 360,000 frames, takes a millisecond either way.
#include <cmath>
#include <list>
#include <mutex>

#include "kernels/cuda/fft.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/spectrogram.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWindowThreads = 128;  // that write the usual 512 samples, kWide each
constexpr int kWide = kVector<float>;

/// Where frames lie: frame f is number f % frames of row f / frames.
struct Signal {
  const float* pcm;  // (rows, samples)
  std::int64_t samples;
  std::int64_t frames;
  std::int64_t count;  // of all rows
  std::int64_t first_centre;
  std::int64_t hop;
};

/// Index of sample i of a signal of n samples continued by reflection: (… 2 1 | 0 1 2 … n-1 | n-2 …).
__device__ __forceinline__ std::int64_t reflected(std::int64_t i, std::int64_t n) {
  if (i >= 0 && i < n) {
    return i;
  }
  if (n == 1) {
    return 0;
  }
  const std::int64_t period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return i < n ? i : period - i;
}

/// out (blocks, n) = the frames from `first` on times the window; zeros behind the last frame. A thread writes four
/// neighbours at once; the samples lie where the hop puts them, and are read one by one out of L1.
__global__ void __launch_bounds__(kWindowThreads)
    window_kernel(Signal signal, std::int64_t first, const float* window, int n, float* out) {
  const std::int64_t frame = first + blockIdx.x;
  const bool real = frame < signal.count;
  const float* pcm = signal.pcm + (real ? frame / signal.frames * signal.samples : 0);
  const std::int64_t begin = signal.first_centre + frame % signal.frames * signal.hop - n / 2;
  float* to = out + static_cast<std::int64_t>(blockIdx.x) * n;
  const bool wide = is_aligned<kWide>(to) && is_aligned<kWide>(window);
  for (int i = kWide * static_cast<int>(threadIdx.x); i < n; i += kWide * kWindowThreads) {
    Vector<float, kWide> values = load_some<kWide>(window, i, n, wide);
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      values[k] = real && i + k < n ? pcm[reflected(begin + i + k, signal.samples)] * values[k] : 0;
    }
    store_some(to, i, n, wide, values);
  }
}

struct Filters {
  const std::int32_t* first_bins;
  const std::int32_t* begins;
  const float* weights;
  int bands;
};

/// Frames of a block: a power of two, at most 32. Shared memory holds power (bins, tile | 1) and, for more than one
/// frame, decibels (tile, bands | 1); odd rows, so that lanes side by side use different banks.
struct Tile {
  int frames;
  std::size_t bytes;
};

/// out (count, bands) = logarithms of `count` spectra (count, bins).
template <FeatureOptions::Compression compression>
__global__ void __launch_bounds__(kThreads)
    mel_kernel(const float2* spectra, int bins, Filters filters, int tile, std::int64_t count, float* out) {
  constexpr bool kMagnitude = compression == FeatureOptions::Compression::log_magnitude;
  auto* power = dynamic_shared<float>();
  const int stride = tile | 1;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * tile;
  const int here = static_cast<int>(count - first < tile ? count - first : tile);
  out += first * filters.bands;
  const int lanes = tile < kThreads / 32 ? kThreads / tile : 32;  // that share a frame
  for (int frame = threadIdx.x / lanes; frame < tile; frame += kThreads / lanes) {
    for (int bin = threadIdx.x % lanes; bin < bins; bin += lanes) {
      const float2 z = frame < here ? spectra[(first + frame) * bins + bin] : float2{0, 0};
      const float square = z.x * z.x + z.y * z.y;
      power[bin * stride + frame] = kMagnitude ? sqrtf(square) : square;
    }
  }
  __syncthreads();
  float* decibels = tile > 1 ? power + bins * stride : out;
  const int row = tile > 1 ? filters.bands | 1 : filters.bands;
  const int frame = threadIdx.x % tile;
  for (int m = threadIdx.x / tile; m < filters.bands; m += kThreads / tile) {
    const float* p = power + filters.first_bins[m] * stride + frame;
    float sum = 0;
    for (int i = filters.begins[m]; i < filters.begins[m + 1]; ++i, p += stride) {
      sum += filters.weights[i] * *p;
    }
    decibels[frame * row + m] = kMagnitude ? log10f(sum + kMagnitudeOffset) : 10 * log10f(sum < 1e-10F ? 1e-10F : sum);
  }
  __syncthreads();
  for (int f = tile > 1 ? threadIdx.x / 32 : here; f < here; f += kThreads / 32) {
    for (int m = threadIdx.x % 32; m < filters.bands; m += 32) {
      out[f * filters.bands + m] = decibels[f * row + m];
    }
  }
}

Tile tile_for(int bins, int bands) {
  constexpr std::size_t kMostBytes = std::size_t{64} << 10U;
  for (int frames = 32; frames > 1; frames /= 2) {
    const auto floats = static_cast<std::size_t>(bins * (frames | 1) + frames * (bands | 1));
    if (floats * sizeof(float) <= kMostBytes) {
      return {frames, floats * sizeof(float)};
    }
  }
  return {1, static_cast<std::size_t>(bins) * sizeof(float)};
}

/// SpectrogramWeights on a GPU.
struct DeviceWeights {
  FeatureOptions options;
  Device device;
  Tensor window, first_bins, begins, weights;

  DeviceWeights(const SpectrogramWeights& w, Device d)
      : options(w.options),
        device(d),
        window(copied(w.window)),
        first_bins(copied(w.first_bins)),
        begins(copied(w.begins)),
        weights(copied(w.weights)) {}
  Filters filters() const {
    return {first_bins.data<std::int32_t>(), begins.data<std::int32_t>(), weights.data<float>(), options.mel_bands};
  }

 private:
  template <class T>
  Tensor copied(const std::vector<T>& values) const {
    return Tensor::from<T>({static_cast<std::int64_t>(values.size())}, values, device);
  }
};

/// Kept for good: kernels on any stream may still read them, and a program has one set of options, rarely two.
const DeviceWeights& weights_for(const FeatureOptions& options, Device device) {
  static std::mutex mutex;
  static auto* const kept = new std::list<DeviceWeights>;
  const std::scoped_lock lock(mutex);
  for (const DeviceWeights& weights : *kept) {
    if (weights.options == options && weights.device == device) {
      return weights;
    }
  }
  return kept->emplace_back(SpectrogramWeights(options), device);
}

}  // namespace

void log_mel(const FeatureOptions& options, const LogMel& args) {
  const Device device = args.pcm.device();
  const DeviceWeights& weights = weights_for(options, device);
  const std::int64_t n = options.n_fft;
  const int bins = options.n_fft / 2 + 1;
  const std::int64_t count = args.out.dim(0) * args.out.dim(1);
  const Signal signal{args.pcm.data<float>(), args.pcm.dim(1), args.out.dim(1), count, args.first_centre, options.hop};
  const Tile tile = tile_for(bins, options.mel_bands);
  const auto mel = options.compression == FeatureOptions::Compression::decibels
                       ? mel_kernel<FeatureOptions::Compression::decibels>
                       : mel_kernel<FeatureOptions::Compression::log_magnitude>;
  for (std::int64_t first = 0; first < count;) {
    const std::int64_t batch = fft_batch(n, count - first);
    const std::int64_t here = std::min(batch, count - first);
    const Tensor time({batch, n}, DType::f32, device);
    const Tensor spectra({batch, bins, 2}, DType::f32, device);
    launch(window_kernel, blocks(batch, kWindowThreads), signal, first, weights.window.data<float>(), options.n_fft,
           time.mutable_data<float>());
    real_fft(time, spectra);
    launch(mel, blocks((here + tile.frames - 1) / tile.frames, kThreads, tile.bytes),
           reinterpret_cast<const float2*>(spectra.data<float>()), bins, weights.filters(), tile.frames, here,
           args.out.mutable_data<float>() + first * options.mel_bands);
    first += batch;
  }
}

}  // namespace earmark::kernels::cuda
