// What `cuda_benchmark` times: each kernel with the bytes and operations that its work needs at least.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace earmark::testing {

inline constexpr Device kGpu{Backend::cuda, 0};

struct KernelCase {
  std::string name;       ///< "kernel/what is special", the same as the peer's in pytorch_kernels.py.
  double bytes = 0;       ///< Every input read once and every result written once.
  double operations = 0;  ///< In float; 0 where they do not matter.
  /// Makes the inputs on the current GPU, and returns what is timed.
  std::function<std::function<void()>()> make;
};

/// Extents of a training batch of the paper's encoder and of a database of a million fingerprints; or, `small`, of
/// something that the simulator does in a second.
struct BenchmarkSizes {
  std::int64_t batch;     ///< segments
  std::int64_t bands;     ///< F
  std::int64_t frames;    ///< T
  std::int64_t channels;  ///< C, of the first block
  std::int64_t width;     ///< channels of the last block
  std::int64_t anchors;   ///< of NT-Xent over many GPUs
  std::int64_t rows;      ///< fingerprints in the database
  std::int64_t samples;   ///< of a row of sound
  std::int64_t matrix;    ///< side of the matrices that show the peak

  explicit BenchmarkSizes(bool small);
};

/// The parts of the list.
std::vector<KernelCase> engine_kernel_cases(const BenchmarkSizes& s);    ///< elementwise, sums, permutes, optimiser
std::vector<KernelCase> training_kernel_cases(const BenchmarkSizes& s);  ///< attention, head, loss
std::vector<KernelCase> sound_kernel_cases(const BenchmarkSizes& s);     ///< mixing, rooms, spectrograms
std::vector<KernelCase> search_kernel_cases(const BenchmarkSizes& s);    ///< hashes, scan, scores, votes

/// Standard normal numbers, drawn on the GPU.
Tensor gpu_normal(const Shape& shape, std::uint64_t stream = 0);
Tensor gpu_like(const Tensor& t);
Tensor gpu_empty(const Shape& shape);

}  // namespace earmark::testing
