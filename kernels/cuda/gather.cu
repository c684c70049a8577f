// A warp for each query adds up the sizes of its probed buckets, 32 at a time, and finds where the limit of entries
// ends them. Then a block for each query enters their rows into a hash table of its own in memory, at most half full;
// counts how many rows were found how often; where there are too many, finds the highest row that still fits among
// those of the last count, digit by digit; and sorts what is kept in shared memory. The host learns nothing in between:
// memory is for the most entries that a query can have, and a block uses what its own need. Only integers are added
// atomically, and the sorted list depends on nothing else: the result is the CPU's.
// Floor for a query of 8,000 entries in 400 buckets, of which 1,000 rows are kept: each bucket's word, offset and first
// entries lie anywhere, so three sectors of 32 bytes, and the entries 32 KB: 400 * 96 + 32,000 = 70 KB over 3.35 TB/s
// (H100): 21 ns. The hash table (131 KB, which the L2 cache holds for the 1,056 blocks in flight only in part) is
// cleared, takes 8,000 atomic operations and is read three times, six where there are too many: 0.5 to 0.9 MB over some
// 5.5 TB/s: 90 to 170 ns. It is the price of not knowing the rows' order; sorting 1,024 numbers takes 55 rounds of a
// block, some 3 us of which eight blocks of a multiprocessor share the latency. 0.2 to 0.4 us a query are to be
// expected.
#include <algorithm>
#include <bit>
#include <span>
#include <vector>

#include "kernels/cuda/buckets.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/upload.h"
#include "kernels/gather.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::uint32_t kEmpty = 0xffffffffU;  // no row: there are fewer
constexpr std::uint32_t kLeastSlots = 64;

/// A block, which is a warp, for each query.
__global__ void __launch_bounds__(32)
    limit_kernel(const Buckets* tables, Probes probes, std::int64_t max_entries, Extent* extents) {
  const std::int64_t query = blockIdx.x;
  const int lane = threadIdx.x;
  Extent extent{0, 0};
  for (std::int64_t first = 0; first < probes.count; first += 32) {
    const std::int64_t p = first + lane;
    const std::int32_t table = p < probes.count ? probes.tables[query * probes.count + p] : -1;
    std::int64_t size = 0;
    if (table >= 0) {
      const Bucket bucket = bucket_of(tables[table], probes.buckets[query * probes.count + p]);
      size = bucket.end - bucket.begin;
    }
    std::int64_t before = size;  // becomes the sum of all lanes up to this one
    for (int distance = 1; distance < 32; distance *= 2) {
      const std::int64_t other = __shfl_up_sync(0xffffffffU, before, distance);
      before += lane >= distance ? other : 0;
    }
    before += extent.entries - size;
    const bool wanted = table >= 0 && (max_entries == 0 || before < max_entries);
    const int here = __popc(__ballot_sync(0xffffffffU, wanted ? 1 : 0));
    const std::int64_t end = __shfl_sync(0xffffffffU, before + size, here > 0 ? here - 1 : 0);
    extent.entries = here > 0 ? end : extent.entries;
    extent.probes += here;
  }
  if (lane == 0) {
    extents[query] = extent;
  }
}

/// The rows of one query, each with how often it was found: open addressing, `slots` of them, a power of two.
struct Found {
  std::uint32_t* rows;
  std::uint32_t* counts;
  std::uint32_t slots;

  __device__ void enter(std::uint32_t row) const {
    std::uint32_t slot = row * 2654435769U & (slots - 1);
    for (std::uint32_t tries = 0; tries < slots; ++tries) {
      const std::uint32_t there = atomicCAS(&rows[slot], kEmpty, row);
      if (there == kEmpty || there == row) {
        atomicAdd(&counts[slot], 1U);
        break;
      }
      slot = (slot + 1) & (slots - 1);
    }
  }
  __device__ std::uint32_t count(std::uint32_t slot) const { return counts[slot] < 255 ? counts[slot] : 255; }
};

/// What is kept: rows found more than `least` times, and of those found so often, the ones up to `last`.
struct Limit {
  std::uint32_t least;
  std::uint32_t last;
};

/// The block's Limit for at most `most` rows (0: all). histogram (256) is shared memory.
__device__ Limit limit_of(const Found& found, std::uint32_t most, std::uint32_t* histogram) {
  __shared__ std::uint32_t least;
  __shared__ std::uint32_t room;  // for rows of the least count; kEmpty: for all of them
  __shared__ std::uint32_t last;
  histogram[threadIdx.x] = 0;
  __syncthreads();
  for (std::uint32_t slot = threadIdx.x; slot < found.slots; slot += kThreads) {
    if (found.rows[slot] != kEmpty) {
      atomicAdd(&histogram[found.count(slot)], 1U);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    std::uint32_t all = 0;
    for (int count = 1; count < 256; ++count) {
      all += histogram[count];
    }
    least = 1;
    room = kEmpty;
    last = 0;
    if (most > 0 && all > most) {
      std::uint32_t above = 0;
      for (least = 255; above + histogram[least] < most; --least) {
        above += histogram[least];
      }
      room = most - above;
    }
  }
  __syncthreads();
  const std::uint32_t fixed = least;
  const bool all_fit = room == kEmpty;
  for (int shift = 24; !all_fit && shift >= 0; shift -= 8) {  // a digit of `last` each time, the highest first
    const std::uint64_t known = std::uint64_t{last} >> (shift + 8);
    __syncthreads();
    histogram[threadIdx.x] = 0;
    __syncthreads();
    for (std::uint32_t slot = threadIdx.x; slot < found.slots; slot += kThreads) {
      const std::uint32_t row = found.rows[slot];
      if (row != kEmpty && found.count(slot) == fixed && std::uint64_t{row} >> (shift + 8) == known) {
        atomicAdd(&histogram[(row >> shift) & 255U], 1U);
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      std::uint32_t digit = 0;
      for (; histogram[digit] < room; ++digit) {
        room -= histogram[digit];
      }
      last |= digit << shift;
    }
    __syncthreads();
  }
  return {fixed, all_fit ? kEmpty : last};
}

/// Sorts `rows` (count) ascending by bitonic merges; there is room for the next power of two. The whole block.
__device__ void sort(std::uint32_t* rows, std::uint32_t count) {
  std::uint32_t size = 1;
  while (size < count) {
    size *= 2;
  }
  for (std::uint32_t i = count + threadIdx.x; i < size; i += kThreads) {
    rows[i] = kEmpty;
  }
  __syncthreads();
  for (std::uint32_t run = 2; run <= size; run *= 2) {
    for (std::uint32_t distance = run / 2; distance > 0; distance /= 2) {
      for (std::uint32_t i = threadIdx.x; i < size / 2; i += kThreads) {
        const std::uint32_t low = i / distance * 2 * distance + i % distance;
        const std::uint32_t a = rows[low];
        const std::uint32_t b = rows[low + distance];
        const bool ascending = (low & run) == 0;
        if ((a > b) == ascending) {
          rows[low] = b;
          rows[low + distance] = a;
        }
      }
      __syncthreads();
    }
  }
}

/// Memory of the queries from `first` on, a block for each.
struct Scratch {
  std::uint32_t* rows;    // (queries, slots)
  std::uint32_t* counts;  // (queries, slots)
  std::uint32_t* kept;    // (queries, most_kept); null: in shared memory
  std::uint32_t slots;
  std::uint32_t most_kept;  // a power of two
};

struct Results {
  std::int64_t* candidates;  // (m, capacity)
  std::int64_t* ranges;      // (m, 2)
  std::int64_t capacity;
};

__global__ void __launch_bounds__(kThreads)
    gather_rows_kernel(const Buckets* tables, Probes probes, const Extent* extents, std::int64_t first,
                       std::uint32_t max_candidates, Scratch scratch, Results results) {
  __shared__ std::uint32_t histogram[kThreads];
  __shared__ std::uint32_t kept_count;
  const std::int64_t query = first + blockIdx.x;
  const Extent extent = extents[query];
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * scratch.slots;
  std::uint32_t slots = kLeastSlots;
  while (slots < scratch.slots && slots < 2 * extent.entries) {
    slots *= 2;
  }
  const Found found{scratch.rows + offset, scratch.counts + offset, slots};
  for (std::uint32_t slot = threadIdx.x; slot < found.slots; slot += kThreads) {
    found.rows[slot] = kEmpty;
    found.counts[slot] = 0;
  }
  if (threadIdx.x == 0) {
    kept_count = 0;
  }
  __syncthreads();
  for (std::int64_t p = threadIdx.x / 32; p < extent.probes; p += kThreads / 32) {
    const Buckets& table = tables[probes.tables[query * probes.count + p]];
    const Bucket bucket = bucket_of(table, probes.buckets[query * probes.count + p]);
    for (std::uint32_t i = bucket.begin + threadIdx.x % 32; i < bucket.end; i += 32) {
      found.enter(table.entries[i]);
    }
  }
  __syncthreads();
  const Limit limit = limit_of(found, max_candidates, histogram);
  std::uint32_t* kept = scratch.kept == nullptr
                            ? dynamic_shared<std::uint32_t>()
                            : scratch.kept + static_cast<std::int64_t>(blockIdx.x) * scratch.most_kept;
  for (std::uint32_t slot = threadIdx.x; slot < found.slots; slot += kThreads) {
    const std::uint32_t row = found.rows[slot];
    const std::uint32_t count = found.count(slot);
    if (row != kEmpty && (count > limit.least || (count == limit.least && row <= limit.last))) {
      kept[atomicAdd(&kept_count, 1U)] = row;
    }
  }
  __syncthreads();
  const std::uint32_t count = kept_count;
  sort(kept, count);
  for (std::uint32_t i = threadIdx.x; i < count; i += kThreads) {
    results.candidates[query * results.capacity + i] = kept[i];
  }
  if (threadIdx.x == 0) {
    results.ranges[2 * query] = query * results.capacity;
    results.ranges[2 * query + 1] = query * results.capacity + count;
  }
}

std::vector<Buckets> pointers_of(const std::vector<BucketTable>& tables) {
  const auto numbers = [](const Tensor& t) { return reinterpret_cast<const std::uint32_t*>(t.data<std::int32_t>()); };
  std::vector<Buckets> out;
  for (const BucketTable& t : tables) {
    out.push_back({reinterpret_cast<const unsigned long long*>(t.occupied.data<std::int64_t>()), numbers(t.before),
                   numbers(t.offsets), numbers(t.entries)});
  }
  return out;
}

}  // namespace

void gather_candidates(const GatherCandidates& args) {
  constexpr std::int64_t kMostSlots = 1 << 24;  // of all queries at once: 128 MB
  constexpr std::int64_t kMostShared = 4096;    // rows sorted in shared memory: 16 KB, eight blocks fit
  const Device device = args.probe_tables.device();
  const std::int64_t queries = args.probe_tables.dim(0);
  const std::int64_t probe_count = args.probe_tables.dim(1);
  const Probes probes{args.probe_tables.data<std::int32_t>(), args.probe_buckets.data<std::int32_t>(), probe_count};
  const std::vector<Buckets> pointers = pointers_of(args.tables->tables);
  const Tensor tables = upload(std::span<const Buckets>(pointers), device);
  const Tensor extents({queries, 2}, DType::i64, device);
  launch(limit_kernel, blocks(queries, 32), uploaded<Buckets>(tables), probes, args.max_entries,
         reinterpret_cast<Extent*>(extents.raw()));
  const auto power_above = [](std::int64_t n) {
    return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
  };
  const std::int64_t found = std::min(args.tables->rows, most_entries(*args.tables, probe_count, args.max_entries));
  const std::int64_t slots = std::max<std::int64_t>(kLeastSlots, power_above(2 * found));
  check(slots <= std::int64_t{1} << 31, "gather: a query may find ", found, " rows, more than a GPU takes");
  const std::int64_t at_once = std::clamp<std::int64_t>(kMostSlots / slots, 1, std::max<std::int64_t>(1, queries));
  const std::int64_t most_kept = power_above(
      std::max<std::int64_t>(1, most_candidates(*args.tables, probe_count, args.max_entries, args.max_candidates)));
  const Tensor rows({at_once, slots}, DType::i32, device);
  const Tensor counts({at_once, slots}, DType::i32, device);
  const Tensor kept = most_kept > kMostShared ? Tensor({at_once, most_kept}, DType::i32, device) : Tensor();
  const auto numbers = [](const Tensor& t) { return reinterpret_cast<std::uint32_t*>(t.mutable_data<std::int32_t>()); };
  const Scratch scratch{numbers(rows), numbers(counts), kept ? numbers(kept) : nullptr,
                        static_cast<std::uint32_t>(slots), static_cast<std::uint32_t>(most_kept)};
  const std::size_t shared = kept ? 0 : static_cast<std::size_t>(most_kept) * sizeof(std::uint32_t);
  for (std::int64_t first = 0; first < queries; first += at_once) {
    launch(gather_rows_kernel, blocks(std::min(at_once, queries - first), kThreads, shared), uploaded<Buckets>(tables),
           probes, reinterpret_cast<const Extent*>(extents.raw()), first,
           static_cast<std::uint32_t>(args.max_candidates), scratch,
           Results{args.candidates.mutable_data<std::int64_t>(), args.ranges.mutable_data<std::int64_t>(),
                   args.candidates.dim(1)});
  }
}

}  // namespace earmark::kernels::cuda
