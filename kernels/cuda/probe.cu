// A warp for each query, which does what the CPU's heap does, and so gives its sequence bit for bit, ties included. The
// frontier of combinations is unsorted: each probe is the least of it, which the lanes look for together (some 30 loads
// for the last of 400 probes); its successors take its place. A function's best few vertices are found when the query
// begins; the rare one behind them is found when it is asked for, by turning the query once more.
// Floor for a query of 128 elements, 50 tables of 3 functions, 400 probes, in instructions of a warp, of which an H100
// starts 0.9 T a second: 150 times 90 to turn it and 4 times 50 for vertices, 350 times 250 for probes: 130,000, or
// 0.15 us; 3.7 KB of memory over 3.35 TB/s are a hundredth of that. Nothing shares work between queries and 2,000 of
// them are in flight, so half of that rate is to be expected; a single query takes some 0.2 ms, most of it latency.
#include <algorithm>

#include "kernels/cuda/rotation.cuh"
#include "kernels/probe.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kResident = 8;  // blocks, which are warps, of a multiprocessor at least: all registers a thread can have
constexpr int kKept = 4;      // vertices of each function that are found beforehand
constexpr unsigned kNone = 0xffffffffU;

struct Vertex {
  float loss;
  int number;
};

/// One vertex per function of a table: its rank, a byte each, and its loss. Successors move a function from last_moved
/// on, so that each combination is reached once.
struct Combination {
  unsigned long long ranks;
  std::int32_t bucket;
  std::int16_t table;
  std::int16_t last_moved;
  float losses[kMostFunctions];
};

/// Memory of one query. sums (capacity): the loss of each combination, apart, as it is what the search reads.
struct Frontier {
  float* sums;
  Combination* combinations;
  Vertex* kept;  // (tables, functions, kKept)
  std::int64_t count;
};

struct Scratch {
  float* sums;
  Combination* combinations;
  Vertex* kept;
  std::int64_t capacity;
};

__device__ __forceinline__ int coordinates_of(const Rotations& r, int function) {
  return function + 1 == r.functions ? r.last_dimension : r.n;
}
/// Where a function's vertex stands in a bucket's number: its lowest bit.
__device__ __forceinline__ int shift_of(const Rotations& r, int function) {
  const int last = __ffs(2 * r.last_dimension) - 1;
  return function + 1 == r.functions ? 0 : last + (r.functions - 2 - function) * (__ffs(2 * r.n) - 1);
}

template <int Registers>
__device__ __forceinline__ float largest_of(const float (&x)[Registers], int coordinates) {
  float largest = 0;
#pragma unroll
  for (int i = 0; i < Registers; ++i) {
    largest = 32 * i + static_cast<int>(threadIdx.x) < coordinates ? fmaxf(largest, fabsf(x[i])) : largest;
  }
  return __uint_as_float(__reduce_max_sync(0xffffffffU, __float_as_uint(largest)));
}

/// The vertex that follows `after` in order of (loss, number). All lanes of the warp must call it.
template <int Registers>
__device__ __forceinline__ Vertex next_vertex(const float (&x)[Registers], int coordinates, float largest,
                                              Vertex after) {
  float least = INFINITY;
  unsigned number = kNone;
#pragma unroll
  for (int i = 0; i < 2 * Registers; ++i) {
    const int j = 32 * (i / 2) + static_cast<int>(threadIdx.x);
    const float missing = i % 2 != 0 ? largest + x[i / 2] : largest - x[i / 2];
    const float loss = __fmul_rn(missing, missing);
    const int mine = 2 * j + i % 2;
    const bool follows = loss > after.loss || (loss == after.loss && mine > after.number);
    if (j < coordinates && follows && (loss < least || (loss == least && static_cast<unsigned>(mine) < number))) {
      least = loss;
      number = static_cast<unsigned>(mine);
    }
  }
  const unsigned all = __reduce_min_sync(0xffffffffU, __float_as_uint(least));
  number = __reduce_min_sync(0xffffffffU, __float_as_uint(least) == all ? number : kNone);
  return {__uint_as_float(all), number == kNone ? 2 * coordinates - 1 : static_cast<int>(number)};
}

struct Point {
  const float* x;
  std::int64_t d;
};

/// Reads the query anew each time: to keep it as well would take twice the registers.
template <int Registers>
__device__ __forceinline__ void turn(const Point& query, const Rotations& r, int table, int function,
                                     float (&turned)[Registers]) {
  read_point(query.x, query.d, turned);
  rotate(turned, r, r.signs + (static_cast<std::int64_t>(table) * r.functions + function) * r.rotations * r.n);
}

/// The first kKept vertices of every function.
template <int Registers>
__device__ void find_vertices(const Point& query, const Rotations& r, Vertex* kept) {
  for (int table = 0; table < r.tables; ++table) {
    for (int function = 0; function < r.functions; ++function) {
      float turned[Registers];
      turn(query, r, table, function, turned);
      const int coordinates = coordinates_of(r, function);
      const float largest = largest_of(turned, coordinates);
      Vertex v{-1, -1};
      for (int rank = 0; rank < kKept; ++rank) {
        v = next_vertex(turned, coordinates, largest, v);
        if (threadIdx.x == 0) {
          kept[rank] = v;
        }
      }
      kept += kKept;
    }
  }
  __syncwarp();
}

/// Adds the successors of `from` at `slot` and behind the last one; where there are none, the last one fills the slot.
/// Lane g holds the loss of function g. A slot at the end is a new one.
template <int Registers>
__device__ __forceinline__ void add_successors(const Point& query, const Rotations& r, Frontier& f,
                                               unsigned long long ranks, int bucket, int table, int last_moved,
                                               float loss, std::int64_t slot) {
  const int lane = threadIdx.x;
  bool is_free = slot < f.count;
  for (int moved = last_moved; moved < r.functions; ++moved) {
    const int coordinates = coordinates_of(r, moved);
    const int rank = static_cast<int>((ranks >> (8 * moved)) & 0xff) + 1;
    const Vertex before{__shfl_sync(0xffffffffU, loss, moved), (bucket >> shift_of(r, moved)) & (2 * coordinates - 1)};
    if (rank < min(kMostRanks, 2 * coordinates)) {
      Vertex next;
      if (rank < kKept) {
        next = f.kept[(table * r.functions + moved) * kKept + rank];
      } else {
        float turned[Registers];
        turn(query, r, table, moved, turned);
        next = next_vertex(turned, coordinates, largest_of(turned, coordinates), before);
      }
      const float mine = lane == moved ? next.loss : loss;
      float sum = 0;
      for (int function = 0; function < r.functions; ++function) {
        sum = __fadd_rn(sum, __shfl_sync(0xffffffffU, mine, function));
      }
      const std::int64_t at = is_free ? slot : f.count++;
      is_free = false;
      Combination& to = f.combinations[at];
      if (lane < kMostFunctions) {
        to.losses[lane] = mine;
      }
      if (lane == 0) {
        f.sums[at] = sum;
        to.ranks = ranks + (1ULL << (8 * moved));
        to.bucket = bucket + (next.number - before.number) * (1 << shift_of(r, moved));
        to.table = static_cast<std::int16_t>(table);
        to.last_moved = static_cast<std::int16_t>(moved);
      }
    }
  }
  if (is_free) {
    --f.count;
    if (lane == 0 && slot != f.count) {
      f.sums[slot] = f.sums[f.count];
      f.combinations[slot] = f.combinations[f.count];
    }
  }
  __syncwarp();
}

/// Where the least combination lies, by (loss, table, bucket). The frontier is not empty.
__device__ __forceinline__ std::int64_t least_of(const Frontier& f) {
  const auto precedes = [&](std::int64_t a, std::int64_t b) {
    const Combination& left = f.combinations[a];
    const Combination& right = f.combinations[b];
    return left.table != right.table ? left.table < right.table : left.bucket < right.bucket;
  };
  std::int64_t best = threadIdx.x;
  float least = best < f.count ? f.sums[best] : INFINITY;
  for (std::int64_t i = best + 32; i < f.count; i += 32) {
    const float sum = f.sums[i];
    if (sum < least || (sum == least && precedes(i, best))) {
      least = sum;
      best = i;
    }
  }
  // Lanes that do not hold the least so far take part with kNone, which nothing equals that is held.
  bool holds = best < f.count;
  for (int part = 0; part < 3; ++part) {
    unsigned key = kNone;
    if (holds) {
      const Combination& c = f.combinations[best];
      key = part == 0 ? __float_as_uint(least) : static_cast<unsigned>(part == 1 ? c.table : c.bucket);
    }
    const unsigned smallest = __reduce_min_sync(0xffffffffU, key);
    holds = holds && key == smallest;
  }
  return __shfl_sync(0xffffffffU, best, __ffs(static_cast<int>(__ballot_sync(0xffffffffU, holds ? 1 : 0))) - 1);
}

/// A block, which is a warp, for each query in turn.
template <int Registers>
__global__ void __launch_bounds__(32, kResident)
    probe_kernel(const float* queries, std::int64_t count, std::int64_t d, Rotations r, Scratch scratch,
                 std::int64_t probes, std::int32_t* tables, std::int32_t* buckets) {
  const int lane = threadIdx.x;
  for (std::int64_t query = blockIdx.x; query < count; query += gridDim.x) {
    Frontier f{scratch.sums + blockIdx.x * scratch.capacity, scratch.combinations + blockIdx.x * scratch.capacity,
               scratch.kept + blockIdx.x * r.tables * r.functions * kKept, 0};
    std::int32_t* to_tables = tables + query * probes;
    std::int32_t* to_buckets = buckets + query * probes;
    const Point point{queries + query * d, d};
    find_vertices<Registers>(point, r, f.kept);
    std::int64_t written = 0;
    for (; written < r.tables; ++written) {
      const int table = static_cast<int>(written);
      const Vertex* home = f.kept + table * r.functions * kKept;
      int bucket = 0;
      for (int function = 0; function < r.functions; ++function) {
        bucket += home[function * kKept].number * (1 << shift_of(r, function));
      }
      if (lane == 0) {
        to_tables[written] = table;
        to_buckets[written] = bucket;
      }
      const float loss = lane < r.functions ? home[lane * kKept].loss : 0;
      add_successors<Registers>(point, r, f, 0, bucket, table, 0, loss, f.count);
    }
    for (; written < probes && f.count > 0; ++written) {
      const std::int64_t slot = least_of(f);
      const Combination& best = f.combinations[slot];
      const unsigned long long ranks = best.ranks;
      const int bucket = best.bucket;
      const int table = best.table;
      const int last_moved = best.last_moved;
      const float loss = lane < kMostFunctions ? best.losses[lane] : 0;
      __syncwarp();
      if (lane == 0) {
        to_tables[written] = table;
        to_buckets[written] = bucket;
      }
      add_successors<Registers>(point, r, f, ranks, bucket, table, last_moved, loss, slot);
    }
    for (std::int64_t i = written + lane; i < probes; i += 32) {
      to_tables[i] = -1;
      to_buckets[i] = -1;
    }
  }
}

}  // namespace

void probe_sequence(const ProbeSequence& args) {
  constexpr std::int64_t kMostQueries = 2048;  // at once: a frontier each
  const HashFamily& family = *args.family;
  const Device device = args.queries.device();
  const Tensor signs = family.signs.to(device);
  const Rotations r = rotations_of(family, signs);
  const std::int64_t count = args.queries.dim(0);
  const std::int64_t probes = args.tables.dim(1);
  const std::int64_t at_once = std::min(count, kMostQueries);
  // A probe's place is taken by one of its successors.
  const std::int64_t capacity = r.tables * r.functions + (probes - r.tables) * (r.functions - 1);
  const Tensor sums({at_once, capacity}, DType::f32, device);
  const Tensor combinations({at_once, capacity, sizeof(Combination)}, DType::u8, device);
  const Tensor kept({at_once, r.tables * r.functions, kKept * sizeof(Vertex)}, DType::u8, device);
  const Scratch scratch{sums.mutable_data<float>(), reinterpret_cast<Combination*>(combinations.raw()),
                        reinterpret_cast<Vertex*>(kept.raw()), capacity};
  with_registers(r.n, [&]<int Registers>() {
    launch(probe_kernel<Registers>, blocks(at_once, 32), args.queries.data<float>(), count, args.queries.dim(1), r,
           scratch, probes, args.tables.mutable_data<std::int32_t>(), args.buckets.mutable_data<std::int32_t>());
  });
}

}  // namespace earmark::kernels::cuda
