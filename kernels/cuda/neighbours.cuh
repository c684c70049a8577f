// Lists of the k best rows of a query, kept by a warp. For the search kernels of this folder.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace earmark::kernels::cuda {

inline constexpr std::int64_t kMostNeighbours = 512;  // of a query: 128 KiB of lists where a block has 32 queries

/// Puts (score, row) into a descending list of k, behind all that are as good; the last falls out. The whole warp.
template <class Row>
__device__ __forceinline__ void insert(float* scores, Row* rows, int k, float score, Row row) {
  for (int base = (k - 1) / 32 * 32; base >= 0; base -= 32) {
    const int i = base + static_cast<int>(threadIdx.x % 32);
    const bool moves = i < k && scores[i] < score;
    const bool here = moves && (i == 0 || scores[i - 1] >= score);
    const float new_score = moves && !here ? scores[i - 1] : score;
    const Row new_row = moves && !here ? rows[i - 1] : row;
    __syncwarp();
    if (moves) {
      scores[i] = new_score;
      rows[i] = new_row;
    }
    __syncwarp();
  }
}

/// Inserts what the lanes with `real` have, in their order, where it is better than the list's last. The whole warp.
template <class Row>
__device__ __forceinline__ void offer(float* scores, Row* rows, int k, float score, Row row, bool real) {
  unsigned better = __ballot_sync(0xffffffffU, real && score > scores[k - 1]);
  while (better != 0) {
    const int from = __ffs(static_cast<int>(better)) - 1;
    better &= better - 1;
    const float offered = __shfl_sync(0xffffffffU, score, from);
    const Row offered_row = __shfl_sync(0xffffffffU, row, from);
    if (offered > scores[k - 1]) {
      insert(scores, rows, k, offered, offered_row);
    }
    __syncwarp();
  }
}

}  // namespace earmark::kernels::cuda
