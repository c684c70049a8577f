// A block for each query. Its candidates that lie in the block of rows are shared out to eight warps, in order; a warp
// multiplies as many rows with the query as 2 KB hold (stored_row.cuh), so that four reads of 16 bytes a lane are on
// their way, and keeps the k best in shared memory. At the end the first warp offers all lists to the running one, warp
// by warp: of equal scores the lower row stays in front. Products are added as gathered_inner_product does, so scores
// are the same bits. Floor for a query of 1,000 candidates of 128 bytes: 8 KB of candidates and 128 KB of rows (512 KB
// of floats), each a sector-aligned piece anywhere in memory, over 3.35 TB/s (H100): 41 ns (155 ns); 256,000 operations
// are 4 ns. A block has 32 requests of 512 bytes in flight, three blocks a multiprocessor (80 registers) 48 KB: at a
// latency of 0.6 us three times what memory gives, and enough of it beside the offers. From some 400 queries on, 50 to
// 70 % of the floor is to be expected.
#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/neighbours.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/stored_row.cuh"
#include "kernels/gathered_topk.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kAtOnce = 4;  // rows of a lane

struct Candidates {
  const std::int64_t* rows;
  const std::int64_t* ranges;  // (m, 2)
};

/// The first of candidates [begin, end) that is `row` or above.
__device__ __forceinline__ std::int64_t lower_bound(const std::int64_t* rows, std::int64_t begin, std::int64_t end,
                                                    std::int64_t row) {
  while (begin < end) {
    const std::int64_t middle = begin + (end - begin) / 2;
    const bool below = rows[middle] < row;
    begin = below ? middle + 1 : begin;
    end = below ? end : middle;
  }
  return begin;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    gathered_topk_kernel(const float* queries, DeviceRows<T> stored, std::int64_t first_row, Candidates candidates,
                         int k, float* scores, std::int64_t* indices) {
  std::int64_t* all_rows = dynamic_shared<std::int64_t>();  // (kWarps, k)
  float* all_scores = reinterpret_cast<float*>(all_rows + kWarps * k);
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const std::int64_t query = blockIdx.x;
  std::int64_t* list_rows = all_rows + warp * k;
  float* list = all_scores + warp * k;
  for (int i = lane; i < k; i += 32) {  // the first warp goes on with the running list
    list[i] = warp == 0 ? scores[query * k + i] : -INFINITY;
    list_rows[i] = warp == 0 ? indices[query * k + i] : -1;
  }
  __syncwarp();
  const std::int64_t all_end = candidates.ranges[2 * query + 1];
  const std::int64_t begin = lower_bound(candidates.rows, candidates.ranges[2 * query], all_end, first_row);
  const std::int64_t end = lower_bound(candidates.rows, begin, all_end, first_row + stored.count);
  const std::int64_t share = (end - begin + kWarps - 1) / kWarps;
  const std::int64_t my_end = min(end, begin + (warp + 1) * share);
  const int side_by_side = 32 / stored.lanes;  // rows that the warp reads in one request
  for (std::int64_t i = begin + warp * share; i < my_end; i += kAtOnce * side_by_side) {
    Pair pairs[kAtOnce];
    float products[kAtOnce];
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) {
      const std::int64_t at = min(i + r * side_by_side + lane / stored.lanes, my_end - 1);
      // A number of 32 bits, as all rows are (gather.cu): it saves a register.
      pairs[r] = {queries + query * stored.d, static_cast<std::uint32_t>(candidates.rows[at] - first_row)};
    }
    partial_products(stored, pairs, products);
#pragma unroll
    for (int r = 0; r < kAtOnce; ++r) {
      const float score = sum_of_row(products[r], stored.lanes) * stored.scale(pairs[r].row);
      const bool real = lane % stored.lanes == 0 && i + r * side_by_side + lane / stored.lanes < my_end;
      offer(list, list_rows, k, score, first_row + pairs[r].row, real);
    }
  }
  __syncthreads();
  if (warp == 0) {
    for (int other = 1; other < kWarps; ++other) {
      for (int rank = 0; rank < k && all_scores[other * k + rank] > list[k - 1]; ++rank) {
        insert(list, list_rows, k, all_scores[other * k + rank], all_rows[other * k + rank]);
      }
    }
    for (int i = lane; i < k; i += 32) {
      scores[query * k + i] = list[i];
      indices[query * k + i] = list_rows[i];
    }
  }
}

}  // namespace

void gathered_topk(const GatheredTopK& args) {
  const std::int64_t k = args.scores.dim(1);
  check(k <= kMostNeighbours, "best candidates on a GPU: at most ", kMostNeighbours, " neighbours, got ", k);
  with_device_rows(args.stored, [&]<class T>(const DeviceRows<T>& rows) {
    launch(gathered_topk_kernel<T>,
           blocks(args.queries.dim(0), kThreads,
                  static_cast<std::size_t>(k) * kWarps * (sizeof(float) + sizeof(std::int64_t))),
           args.queries.data<float>(), rows, args.first_row,
           Candidates{args.candidates.data<std::int64_t>(), args.ranges.data<std::int64_t>()}, static_cast<int>(k),
           args.scores.mutable_data<float>(), args.indices.mutable_data<std::int64_t>());
  });
}

}  // namespace earmark::kernels::cuda
