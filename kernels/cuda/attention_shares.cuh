// The last step of attention's gradient: the slabs' shares of the gradients of the weights, and of the sums that batch
// normalisation wants, added up over the samples in a fixed order, in double. Floor on an H100: the shares read at 3.35
// TB/s; they are (F + T) / (F T) of the activations: 10.6 MB, 3.2 us, for (512, 64, 96, 32). An addition in double for
// each float is a fortieth of that. Half of it is to be expected: the sums of a block meet in its first warp, behind a
// barrier, and the launch is short.
#pragma once

#include "kernels/cuda/attention_slab.cuh"

namespace earmark::kernels::cuda {

inline constexpr int kShareColumns = 32;
inline constexpr int kShareLines = 16;

/// Where row k of the shares goes: (C, T), (C, F), (C) and (C).
template <class T>
struct ShareSums {
  T* by_column;
  T* by_row;
  T* sum;
  T* product;
};

/// Adds up shares (N, columns + rows + 2, C) over the samples: a block takes 32 neighbouring entries, line l of its
/// threads the samples l, l + kShareLines, ...
template <class T>
__global__ void __launch_bounds__(kShareColumns* kShareLines)
    add_shares_kernel(const T* shares, std::int64_t samples, std::int64_t entries, SlabPlan p, ShareSums<T> to) {
  __shared__ double sums[kShareLines][kShareColumns];
  const int lane = static_cast<int>(threadIdx.x) % kShareColumns;
  const int line = static_cast<int>(threadIdx.x) / kShareColumns;
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * kShareColumns + lane;
  double total = 0;
  if (entry < entries) {
#pragma unroll 4
    for (std::int64_t n = line; n < samples; n += kShareLines) {
      total += static_cast<double>(shares[n * (p.columns + p.rows + 2) * p.channels + entry]);
    }
  }
  sums[line][lane] = total;
  __syncthreads();
  if (line == 0 && entry < entries) {
    for (int l = 1; l < kShareLines; ++l) {
      total += sums[l][lane];
    }
    const std::int64_t k = entry / p.channels;
    const std::int64_t c = entry % p.channels;
    if (k < p.columns) {
      to.by_column[c * p.columns + k] = static_cast<T>(total);
    } else if (k < p.columns + p.rows) {
      to.by_row[c * p.rows + k - p.columns] = static_cast<T>(total);
    } else {
      (k == p.columns + p.rows ? to.sum : to.product)[c] = static_cast<T>(total);
    }
  }
}

/// Adds up the first `entries` of each sample's shares.
template <class T>
void add_shares(const SlabPlan& p, const Tensor& shares, std::int64_t entries, const ShareSums<T>& to) {
  launch(add_shares_kernel<T>, blocks((entries + kShareColumns - 1) / kShareColumns, kShareColumns * kShareLines),
         shares.data<T>(), shares.dim(0), entries, p, to);
}

}  // namespace earmark::kernels::cuda
