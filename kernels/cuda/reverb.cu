// Overlap-save, as on the CPU: rows are cut into blocks of one transform, which overlap by the response's length, and
// blocks of all rows that share a size go through cuFFT together, in batches whose samples and bins stay in the L2
// cache: a padded copy, the transform, the product with the response's spectrum, the way back, a copy of what is good.
// Floor for a training row (31,872 samples to 15,872, one transform of 32,768): 191 KB of signal and 131 KB of spectrum
// over 3.35 TB/s (H100): 96 ns; 5 million operations over 67 TFLOP/s are 75 ns. Some 1.3 MB cross the L2 cache
// (5.5 TB/s) on the way: 240 ns, so two fifths of the floor are to be expected.
#include <algorithm>
#include <map>
#include <vector>

#include "kernels/cuda/fft.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/upload.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/reverb.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// One transform's part of a row.
struct Block {
  const float* x;         // the row
  std::int64_t first;     // sample that the transform begins with; there are zeros beyond the row's ends
  const float* spectrum;  // of the response
  std::int64_t good;      // the transform's first sample that is the linear convolution's
  float* out;
  std::int64_t count;  // good samples that are wanted
};

/// Where a thread is: block y of the batch, and element by element along it. The batch may go on behind the last block.
struct Strip {
  const Block* blocks;
  std::int64_t count;
};

/// time (batch, n) = the blocks' samples. A thread writes four neighbours at once; a block's first sample is any of the
/// row's, so that they are read one by one.
__global__ void __launch_bounds__(kThreads) pad_kernel(Strip strip, std::int64_t samples, std::int64_t n, float* time) {
  constexpr int kWide = kVector<float>;
  const bool real = blockIdx.y < strip.count;
  const Block block = real ? strip.blocks[blockIdx.y] : Block{};
  float* to = time + blockIdx.y * n;
  const bool wide = is_aligned<kWide>(to);
  for (std::int64_t i = kWide * thread_index(); i < n; i += kWide * thread_count()) {
    Vector<float, kWide> values;
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      const std::int64_t at = block.first + i + k;
      values[k] = real && at >= 0 && at < samples ? block.x[at] : 0;
    }
    store_some(to, i, n, wide, values);
  }
}

/// bins (batch, bins) of complex numbers, times each block's spectrum.
__global__ void __launch_bounds__(kThreads) multiply_kernel(Strip strip, std::int64_t bins, float2* spectra) {
  const Block block = strip.blocks[blockIdx.y];
  const auto* response = reinterpret_cast<const float2*>(block.spectrum);
  float2* to = spectra + blockIdx.y * bins;
  for (std::int64_t k = thread_index(); k < bins; k += thread_count()) {
    const float2 z = to[k];
    const float2 h = response[k];
    to[k] = {z.x * h.x - z.y * h.y, z.x * h.y + z.y * h.x};
  }
}

/// The blocks' good samples, which begin anywhere in a transform: read one by one, written four at once.
__global__ void __launch_bounds__(kThreads) keep_kernel(Strip strip, std::int64_t n, const float* time) {
  constexpr int kWide = kVector<float>;
  const Block block = strip.blocks[blockIdx.y];
  const float* from = time + blockIdx.y * n + block.good;
  const bool wide = is_aligned<kWide>(block.out);
  for (std::int64_t i = kWide * thread_index(); i < block.count; i += kWide * thread_count()) {
    Vector<float, kWide> values;
#pragma unroll
    for (int k = 0; k < kWide; ++k) {
      values[k] = from[i + k < block.count ? i + k : i];
    }
    store_some(block.out, i, block.count, wide, values);
  }
}

/// Blocks of all rows, by the size of their transform.
std::map<std::int64_t, std::vector<Block>> cut_into_blocks(const Reverb& args) {
  std::map<std::int64_t, std::vector<Block>> by_size;
  const std::int64_t kept = args.out.dim(1);
  for (std::int64_t row = 0; row < args.x.dim(0); ++row) {
    const RoomResponse& room = args.rooms[args.rooms.size() == 1 ? 0 : static_cast<std::size_t>(row)];
    const std::int64_t n = 2 * (room.spectrum.dim(0) - 1);
    const std::int64_t good = n - room.length + 1;
    for (std::int64_t done = 0; done < kept; done += good) {
      by_size[n].push_back({args.x.data<float>() + row * args.x.dim(1),
                            args.skip + room.delay + done - (room.length - 1), room.spectrum.data<float>(),
                            room.length - 1, args.out.mutable_data<float>() + row * kept + done,
                            std::min(good, kept - done)});
    }
  }
  return by_size;
}

/// A grid over `batch` rows of `count` elements.
Grid strip_grid(std::int64_t batch, std::int64_t count) {
  constexpr std::int64_t kElements = 8 * kThreads;  // of a block
  return {.grid = dim3(static_cast<unsigned>((count + kElements - 1) / kElements), static_cast<unsigned>(batch)),
          .block = dim3(kThreads)};
}

void convolve(std::span<const Block> all, std::int64_t n, std::int64_t samples, Device device) {
  const auto total = static_cast<std::int64_t>(all.size());
  const std::int64_t bins = n / 2 + 1;
  const Tensor listed = upload(all, device);
  for (std::int64_t first = 0; first < total;) {
    const std::int64_t batch = fft_batch(n, total - first);
    const Strip strip{uploaded<Block>(listed) + first, std::min(batch, total - first)};
    const Tensor time({batch, n}, DType::f32, device);
    const Tensor spectra({batch, bins, 2}, DType::f32, device);
    launch(pad_kernel, strip_grid(batch, n), strip, samples, n, time.mutable_data<float>());
    real_fft(time, spectra);
    launch(multiply_kernel, strip_grid(strip.count, bins), strip, bins,
           reinterpret_cast<float2*>(spectra.mutable_data<float>()));
    inverse_real_fft(spectra, time);
    launch(keep_kernel, strip_grid(strip.count, n), strip, n, time.data<float>());
    first += batch;
  }
}

}  // namespace

void reverb(const Reverb& args) {
  for (const auto& [n, listed] : cut_into_blocks(args)) {
    convolve(listed, n, args.x.dim(1), args.x.device());
  }
}

}  // namespace earmark::kernels::cuda
