// A warp for each candidate: a lane adds its elements' products of all rows that overlap, in double, and the warp adds
// up its lanes once at the end. Rows are read as stored_row.cuh says, kAtOnce requests of a warp at a time. Candidates
// of one query share its fingerprints, which stay in cache. Floor for c candidates of r rows of 128 elements: c * r *
// 128 * (4, 2 or 1) bytes over 3.35 TB/s where no two share rows; 2 * c * r * 128 operations over 67 TFLOP/s are a
// fortieth of that. A thousand candidates of 50 rows are 8 us, and half of that rate is to be expected: a warp has two
// requests of 512 bytes under way, and seven warps of its block beside it.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/stored_row.cuh"
#include "kernels/score.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kAtOnce = 2;  // rows of a lane

/// Where candidates lie: the first and past-the-last row of their queries, their starts, and the same of their tracks.
struct Places {
  const std::int64_t* query_begins;
  const std::int64_t* query_ends;
  const std::int64_t* starts;
  const std::int64_t* begins;
  const std::int64_t* ends;
  std::int64_t count;
};

__device__ __forceinline__ std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    score_kernel(const float* queries, DeviceRows<T> stored, Places places, std::int64_t ratio,
                 std::int64_t min_overlap, float* scores) {
  const std::int64_t candidate = thread_index() / 32;
  const bool real = candidate < places.count;
  const std::int64_t start = real ? places.starts[candidate] : 0;
  const std::int64_t query = real ? places.query_begins[candidate] : 0;
  const std::int64_t query_rows = real ? places.query_ends[candidate] - query : 0;
  // Rows r whose query row r * ratio - start exists.
  const std::int64_t begin = real ? max(places.begins[candidate], divide_up(start, ratio)) : 0;
  const std::int64_t end = real ? min(places.ends[candidate], divide_up(start + query_rows, ratio)) : 0;
  double sum = 0;
  if (end - begin >= min_overlap) {
    const int step = 32 / stored.lanes;  // rows that the warp reads side by side
    for (std::int64_t first = begin + threadIdx.x % 32 / stored.lanes; first < end; first += kAtOnce * step) {
      Pair pairs[kAtOnce];
      float products[kAtOnce];
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {  // beyond the end the last row again, which does not count
        const std::int64_t row = min(first + r * step, end - 1);
        pairs[r] = {queries + (query + row * ratio - start) * stored.d, row};
      }
      partial_products(stored, pairs, products);
#pragma unroll
      for (int r = 0; r < kAtOnce; ++r) {
        sum += first + r * step < end ? static_cast<double>(products[r] * stored.scale(pairs[r].row)) : 0;
      }
    }
  }
  sum = warp_sum(sum);
  if (real && threadIdx.x % 32 == 0) {
    scores[candidate] =
        end - begin >= min_overlap ? static_cast<float>(sum / static_cast<double>(end - begin)) : -INFINITY;
  }
}

}  // namespace

void sequence_score(const SequenceScore& args) {
  const Device device = args.queries.device();
  const Tensor query_begins = args.query_begins.to(device);
  const Tensor query_ends = args.query_ends.to(device);
  const Tensor starts = args.starts.to(device);
  const Tensor begins = args.begins.to(device);
  const Tensor ends = args.ends.to(device);
  const StoredRows stored = args.stored.to(device);
  const Places places{query_begins.data<std::int64_t>(), query_ends.data<std::int64_t>(), starts.data<std::int64_t>(),
                      begins.data<std::int64_t>(),       ends.data<std::int64_t>(),       starts.numel()};
  with_device_rows(stored, [&]<class T>(const DeviceRows<T>& rows) {
    launch(score_kernel<T>, blocks((places.count + kWarps - 1) / kWarps, kThreads), args.queries.data<float>(), rows,
           places, args.ratio, std::max(1, args.min_overlap), args.scores.mutable_data<float>());
  });
}

}  // namespace earmark::kernels::cuda
