// All tensors of a network in one launch: their addresses travel as the kernel's arguments, kMostTensors at a time, and
// each block finds the piece of one of them that is its own, and moves it 16 bytes at a time where all its arrays are
// aligned.
// Floor on an H100: what the kernels move, over 3.35 TB/s; their operations are named there. 85 % of it is to be
// expected of large tensors; one of some hundred elements has a block, all the same, whose other threads idle.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

inline constexpr int kParameterThreads = 256;
inline constexpr std::int64_t kParameterPiece = 8 * kParameterThreads;  // elements of a block
inline constexpr int kMostTensors = 256;                                // the attention encoder has 78
inline constexpr std::size_t kMostArguments = 32764;                    // bytes that a kernel takes since CUDA 12.1

/// Up to kMostTensors of them, each in `buffers` arrays of one length. Tensor i owns the blocks from first_block[i] on.
template <class T, int buffers>
struct ParameterBatch {
  int tensors = 0;
  int first_block[kMostTensors + 1] = {};
  std::int64_t count[kMostTensors] = {};
  T* data[buffers][kMostTensors] = {};
  bool wide[kMostTensors] = {};  // whether all arrays can be moved 16 bytes at a time

  bool full() const { return tensors == kMostTensors; }
  int blocks() const { return first_block[tensors]; }
  void add(const Tensor (&arrays)[buffers]) {
    wide[tensors] = true;
    for (int b = 0; b < buffers; ++b) {
      data[b][tensors] = arrays[b].template mutable_data<T>();
      wide[tensors] = wide[tensors] && is_aligned<kVector<T>>(data[b][tensors]);
    }
    count[tensors] = arrays[0].numel();
    const std::int64_t end = first_block[tensors] + (count[tensors] + kParameterPiece - 1) / kParameterPiece;
    check(end <= 0x7fffffff, "optimizer: a parameter of ", count[tensors], " elements is too large");
    first_block[++tensors] = static_cast<int>(end);
  }
};

static_assert(sizeof(ParameterBatch<double, 4>) + 256 <= kMostArguments);

struct ParameterPiece {
  int tensor;
  std::int64_t begin;
  std::int64_t end;
};

/// The piece of this block: the last tensor whose first block is not behind it.
template <class T, int buffers>
__device__ ParameterPiece own_piece(const ParameterBatch<T, buffers>& batch) {
  int low = 0;
  int high = batch.tensors;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (batch.first_block[middle] <= static_cast<int>(blockIdx.x) ? low : high) = middle;
  }
  const std::int64_t begin = (static_cast<int>(blockIdx.x) - batch.first_block[low]) * kParameterPiece;
  const std::int64_t left = batch.count[low] - begin;
  return {low, begin, begin + (left < kParameterPiece ? left : kParameterPiece)};
}

/// A piece in groups of N elements; the last ones, fewer than N, one by one: f.operator()<N>(index of the group).
template <int N, class F>
__device__ __forceinline__ void for_groups(const ParameterPiece& piece, const F& f) {
  for (std::int64_t g = piece.begin / N + threadIdx.x; g < piece.end / N; g += kParameterThreads) {
    f.template operator()<N>(g);
  }
  if constexpr (N > 1) {
    const std::int64_t i = piece.end / N * N + threadIdx.x;
    if (i < piece.end) {
      f.template operator()<1>(i);
    }
  }
}

}  // namespace earmark::kernels::cuda
