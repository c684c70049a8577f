// Exact scan: a block multiplies kQueries queries with a chunk of rows, kRows rows at a time, from slices of both in
// shared memory; a warp has four queries and a lane every 32nd row, so that its 16 sums stay in registers and each
// query's k best are one warp's own. Hardly any row passes the k-th best, so keeping the list costs next to nothing. A
// second launch merges the lists of the chunks. Every sum is added in the order of its elements and rows are offered in
// ascending order: equal rows have equal scores, and the lower row stays in front.
// Floor for n rows of 128 elements: n * 128 * (4, 2 or 1) bytes over 3.35 TB/s for each 32 queries, and 8192 * n
// operations over 67 TFLOP/s: 0.15 and 0.12 ns a row of floats, so that up to 32 queries cost what one does. Five reads
// of shared memory for sixteen multiply-adds make the latter 0.15 at least, and slices are loaded and multiplied in
// turn: 60 to 70 % of the floor is to be expected, from three blocks of a multiprocessor that fill each other's gaps.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/neighbours.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/stored_row.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/inner_product.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kResident = 3;                 // blocks of a multiprocessor, which leave a thread 80 registers
constexpr int kPerWarp = 4;                  // queries
constexpr int kQueries = kWarps * kPerWarp;  // of a block
constexpr int kPerLane = 4;                  // rows
constexpr int kRows = 32 * kPerLane;         // at a time
constexpr int kSlice = 32;                   // elements of both in shared memory
constexpr int kQueryPadding = 4;             // keeps 16-byte alignment, and moves neighbouring elements four banks on
constexpr std::int64_t kMostChunks = 1056;   // 8 blocks for each multiprocessor of an H100

/// The present k best of a warp's queries, chunk-relative rows; in shared memory.
struct Lists {
  float* scores;  // (kPerWarp, k)
  std::int32_t* rows;
  int k;
};

/// Offers the warp's products, of its query q with row first + 32 * r + lane in products[q * kPerLane + r][lane], to
/// the lists; rows beyond `count` are left out. They come through shared memory so that this is one loop: written out
/// 16 times it would cost registers that are spilled.
template <class T>
__device__ __forceinline__ void offer_products(const float (*products)[32], const DeviceRows<T>& stored,
                                               std::int64_t begin, int first, int count, int queries,
                                               const Lists& lists) {
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int i = 0; i < queries * kPerLane; ++i) {
    const int q = i / kPerLane;
    const int start = first + 32 * (i % kPerLane);
    const bool real = start + lane < count;
    const float score = real ? products[i][lane] * stored.scale(begin + start + lane) : 0;
    float* scores = lists.scores + q * lists.k;
    offer(scores, lists.rows + q * lists.k, lists.k, score, start + lane, real);
  }
}

/// slice[e][r] = element begin_element + e of row first_row + r, kRows of them, zero beyond `end_row` or d. A thread
/// takes N neighbouring elements of a row: N is 1, or fills 16 bytes and divides d. Lanes that share a row write every
/// N-th line of the slice, and their warp's rows are neighbours: 32 banks.
template <int N, class T>
__device__ __forceinline__ void load_rows(const DeviceRows<T>& stored, std::int64_t first_row, std::int64_t end_row,
                                          std::int64_t begin_element, float (&slice)[kSlice][kRows + 1]) {
  constexpr int kLanes = kSlice / N;  // that share a row
  const int element = static_cast<int>(threadIdx.x) % kLanes * N;
#pragma unroll 4
  for (int r = static_cast<int>(threadIdx.x) / kLanes; r < kRows; r += kThreads / kLanes) {
    const bool real = begin_element + element < stored.d && first_row + r < end_row;
    Vector<T, N> values{};
    if (real) {
      values = load_vector<N>(stored.rows, ((first_row + r) * stored.d + begin_element + element) / N);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) {
      slice[element + k][r] = real ? convert_on_device<float>(values[k]) : 0;
    }
  }
}

/// slice[e][q] = element begin_element + e of query first_query + q, zero beyond the m queries or d. A warp takes 8
/// elements of 4 queries at once: whole sectors to read, 32 banks to write.
__device__ __forceinline__ void load_queries(const float* queries, std::int64_t m, std::int64_t d,
                                             std::int64_t first_query, std::int64_t begin_element,
                                             float (&slice)[kSlice][kQueries + kQueryPadding]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int part = static_cast<int>(threadIdx.x) / 32; part < kSlice * kQueries / 32; part += kWarps) {
    const int e = part % (kSlice / 8) * 8 + lane % 8;
    const int q = part / (kSlice / 8) * 4 + lane / 8;
    const std::int64_t j = begin_element + e;
    slice[e][q] = j < d && first_query + q < m ? queries[(first_query + q) * d + j] : 0;
  }
}

/// best (chunks, m, k) of the rows [chunk * rows_per_chunk, + rows_per_chunk). Block (tile of queries, chunk).
template <int N, class T>
__global__ void __launch_bounds__(kThreads, kResident)
    scan_kernel(const float* queries, std::int64_t m, DeviceRows<T> stored, std::int64_t rows_per_chunk, int k,
                float* best_scores, std::int64_t* best_rows) {
  __shared__ float row_slice[kSlice][kRows + 1];
  __shared__ __align__(16) float query_slice[kSlice][kQueries + kQueryPadding];
  __shared__ float products[kWarps][kPerWarp * kPerLane][32];
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const std::int64_t first_query = static_cast<std::int64_t>(blockIdx.x) * kQueries;
  const std::int64_t begin = blockIdx.y * rows_per_chunk;
  const int count = static_cast<int>(min(rows_per_chunk, stored.count - begin));
  const std::int64_t mine = first_query + warp * kPerWarp;
  const int my_queries = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{kPerWarp}, m - mine)));
  float* all_scores = dynamic_shared<float>();
  const Lists lists{all_scores + warp * kPerWarp * k,
                    reinterpret_cast<std::int32_t*>(all_scores + kQueries * k) + warp * kPerWarp * k, k};
  for (int i = lane; i < kPerWarp * k; i += 32) {
    lists.scores[i] = -INFINITY;
    lists.rows[i] = -1;
  }
  for (int first = 0; first < count; first += kRows) {
    float sums[kPerLane][kPerWarp] = {};
    for (std::int64_t slice = 0; slice < stored.d; slice += kSlice) {
      __syncthreads();
      load_rows<N>(stored, begin + first, begin + count, slice, row_slice);
      load_queries(queries, m, stored.d, first_query, slice, query_slice);
      __syncthreads();
      if (my_queries > 0) {
#pragma unroll 4
        for (int e = 0; e < kSlice; ++e) {
          const float4 query = *reinterpret_cast<const float4*>(&query_slice[e][warp * kPerWarp]);
#pragma unroll
          for (int r = 0; r < kPerLane; ++r) {
            const float element = row_slice[e][32 * r + lane];
            sums[r][0] += element * query.x;
            sums[r][1] += element * query.y;
            sums[r][2] += element * query.z;
            sums[r][3] += element * query.w;
          }
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kPerWarp * kPerLane; ++i) {
      products[warp][i][lane] = sums[i % kPerLane][i / kPerLane];
    }
    offer_products(products[warp], stored, begin, first, count, my_queries, lists);
  }
  __syncwarp();
  for (int i = lane; i < my_queries * k; i += 32) {
    const std::int64_t at = (blockIdx.y * m + mine) * k + i;
    best_scores[at] = lists.scores[i];
    best_rows[at] = lists.rows[i] < 0 ? -1 : begin + lists.rows[i];
  }
}

/// Merges best (chunks, m, k) into scores and indices (m, k), chunk by chunk; of equal scores what was there stays in
/// front. A warp, which is the block, for each query. Only chunks whose best passes are read.
__global__ void __launch_bounds__(32)
    merge_kernel(const float* best_scores, const std::int64_t* best_rows, std::int64_t chunks, int k,
                 std::int64_t first_row, float* scores, std::int64_t* indices) {
  std::int64_t* list_rows = dynamic_shared<std::int64_t>();
  float* list = reinterpret_cast<float*>(list_rows + k);
  const std::int64_t m = gridDim.x;
  const int lane = threadIdx.x;
  const std::int64_t query = blockIdx.x;
  for (int i = lane; i < k; i += 32) {
    list[i] = scores[query * k + i];
    list_rows[i] = indices[query * k + i];
  }
  __syncwarp();
  for (std::int64_t base = 0; base < chunks; base += 32) {
    const float head = base + lane < chunks ? best_scores[((base + lane) * m + query) * k] : -INFINITY;
    unsigned better = __ballot_sync(0xffffffffU, head > list[k - 1]);
    while (better != 0) {
      const std::int64_t at = ((base + __ffs(static_cast<int>(better)) - 1) * m + query) * k;
      better &= better - 1;
      for (int rank = 0; rank < k && best_scores[at + rank] > list[k - 1]; ++rank) {
        insert(list, list_rows, k, best_scores[at + rank], first_row + best_rows[at + rank]);
      }
      __syncwarp();
    }
  }
  for (int i = lane; i < k; i += 32) {
    scores[query * k + i] = list[i];
    indices[query * k + i] = list_rows[i];
  }
}

/// A row's lanes for each result. An index outside [0, n), or an owner outside [0, m), gives NaN: a kernel cannot
/// throw.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gathered_kernel(const float* queries, std::int64_t m, DeviceRows<T> stored, const std::int64_t* owners,
                    const std::int64_t* indices, std::int64_t count, float* out) {
  const std::int64_t i = thread_index() / stored.lanes;
  const std::int64_t row = i < count ? indices[i] : -1;
  const std::int64_t owner = i < count ? owners[i] : -1;
  const bool inside = row >= 0 && row < stored.count && owner >= 0 && owner < m;
  float product[1] = {0};
  if (inside) {
    partial_products(stored, {Pair{queries + owner * stored.d, row}}, product);
  }
  const float sum = sum_of_row(product[0], stored.lanes);
  if (i < count && threadIdx.x % stored.lanes == 0) {
    out[i] = inside ? sum * stored.scale(row) : NAN;
  }
}

/// out (count) = rows from `begin` on as float, times their scales. A thread stores 16 bytes, for which it reads 16, 8
/// or 4: neighbouring lanes neighbouring ones, whole lines on either side.
template <class T>
__global__ void __launch_bounds__(kThreads)
    widen_kernel(DeviceRows<T> stored, std::int64_t begin, std::int64_t count, float* out) {
  const T* from = stored.rows + begin * stored.d;
  const bool wide = is_aligned<4>(from) && is_aligned<4>(out);
  for (std::int64_t i = 4 * thread_index(); i < count; i += 4 * thread_count()) {
    const Vector<T, 4> values = load_some<4>(from, i, count, wide);
    Vector<float, 4> widened;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::int64_t row = begin + min(i + k, count - 1) / stored.d;
      widened[k] = convert_on_device<float>(values[k]) * stored.scale(row);
    }
    store_some(out, i, count, wide, widened);
  }
}

}  // namespace

void inner_product_topk(const InnerProductTopK& args) {
  const Device device = args.queries.device();
  const std::int64_t m = args.queries.dim(0);
  const std::int64_t n = args.stored.rows.dim(0);
  const std::int64_t k = args.scores.dim(1);
  check(k <= kMostNeighbours, "scan on a GPU: at most ", kMostNeighbours, " neighbours, got ", k);
  check(n <= 0x7fffffff, "scan on a GPU: at most 2147483647 rows in a block, got ", n);
  if (m == 0 || n == 0) {
    return;
  }
  const std::int64_t tiles = (m + kQueries - 1) / kQueries;
  const std::int64_t wanted = std::min((n + kRows - 1) / kRows, std::max<std::int64_t>(1, kMostChunks / tiles));
  const std::int64_t rows_per_chunk = ((n + wanted - 1) / wanted + kRows - 1) / kRows * kRows;
  const std::int64_t chunks = (n + rows_per_chunk - 1) / rows_per_chunk;
  const Tensor best_scores({chunks, m, k}, DType::f32, device);
  const Tensor best_rows({chunks, m, k}, DType::i64, device);
  const StoredRows stored = args.stored.to(device);
  with_device_rows(stored, [&]<class T>(const DeviceRows<T>& rows) {
    constexpr int kWide = kVector<T>;
    const auto scan = [&]<int N>() {
      launch(scan_kernel<N, T>,
             {.grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(chunks)),
              .block = dim3(kThreads),
              .shared = static_cast<std::size_t>(k) * kQueries * (sizeof(float) + sizeof(std::int32_t))},
             args.queries.data<float>(), m, rows, rows_per_chunk, static_cast<int>(k),
             best_scores.mutable_data<float>(), best_rows.mutable_data<std::int64_t>());
    };
    if (rows.d % kWide == 0 && is_aligned<kWide>(rows.rows)) {
      scan.template operator()<kWide>();
    } else {
      scan.template operator()<1>();
    }
  });
  launch(merge_kernel, blocks(m, 32, static_cast<std::size_t>(k) * (sizeof(float) + sizeof(std::int64_t))),
         best_scores.data<float>(), best_rows.data<std::int64_t>(), chunks, static_cast<int>(k), args.first_row,
         args.scores.mutable_data<float>(), args.indices.mutable_data<std::int64_t>());
}

void gathered_inner_product(const GatheredInnerProduct& args) {
  const Device device = args.queries.device();
  const Tensor owners = args.owners.to(device);
  const Tensor indices = args.indices.to(device);
  const StoredRows stored = args.stored.to(device);
  const std::int64_t count = indices.numel();
  with_device_rows(stored, [&]<class T>(const DeviceRows<T>& rows) {
    const std::int64_t at_once = kThreads / rows.lanes;
    launch(gathered_kernel<T>, blocks((count + at_once - 1) / at_once, kThreads), args.queries.data<float>(),
           args.queries.dim(0), rows, owners.data<std::int64_t>(), indices.data<std::int64_t>(), count,
           args.out.mutable_data<float>());
  });
}

void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out) {
  const std::int64_t count = (end - begin) * stored.rows.dim(1);
  with_device_rows(stored, [&]<class T>(const DeviceRows<T>& rows) {
    launch(widen_kernel<T>, over((count + 3) / 4, kThreads), rows, begin, count, out.mutable_data<float>());
  });
}

}  // namespace earmark::kernels::cuda
