// Places are counted without sorting: every hit is compared with all others of its query. The first hit of a place
// counts its votes, sums its similarities in the order of the query, as the CPU does, and finds where the place stands:
// behind as many places as are smaller. A block holds 128 hits in registers and takes those they meet through shared
// memory, a tile at a time, where lanes of one query read the same one. All of it, for any number of queries, is three
// launches.
// Floor on an H100 for q queries of n hits: 60 bytes a hit over 3.35 TB/s, and 1.5 n comparisons of two 64-bit numbers:
// 256 queries of 500 hits are 8 MB, 2.3 us, and 96 million comparisons of some twelve integer operations, of which 16.7
// T/s are done: 69 us. Shared memory gives a warp a hit each cycle: 13 us. Two thirds of it are to be expected: a block
// waits twice a tile, and hits that are no first of their place leave lanes idle while others count.
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/vote.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::int64_t kNoTrack = -1;

/// What a hit proposes; track kNoTrack: nothing.
struct alignas(16) Place {
  std::int64_t track;
  std::int64_t start;
};

__device__ __forceinline__ bool same(const Place& a, const Place& b) {
  return a.track == b.track && a.start == b.start;
}
__device__ __forceinline__ bool is_before(const Place& a, const Place& b) {
  return a.track != b.track ? a.track < b.track : a.start < b.start;
}

/// The slots of all queries, one for each hit of each: query j has [first[j], first[j + 1]), and its rows begin at
/// begin[j].
struct Slots {
  const std::int64_t* first;
  const std::int64_t* begin;
  std::int64_t queries;
  std::int64_t count;
  std::int64_t per_row;
};

/// Results in the order of OffsetVote's.
struct Proposals {
  std::int64_t* tracks;
  std::int64_t* starts;
  std::int32_t* votes;
  float* sums;
};

/// The last of the ascending `bounds` (count) that is not above `value`.
__device__ __forceinline__ std::int64_t last_not_above(std::int64_t value, const std::int64_t* bounds,
                                                       std::int64_t count) {
  std::int64_t low = 0;
  std::int64_t high = count;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (bounds[middle] <= value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

/// places (slots), and the query that each slot is of; outside = the largest hit that is no row, if there is one.
__global__ void __launch_bounds__(kThreads)
    place_kernel(Slots slots, const std::int64_t* hits, const std::int64_t* bounds, std::int64_t tracks,
                 std::int64_t ratio, Place* places, std::int64_t* owners, long long* outside) {
  for (std::int64_t i = thread_index(); i < slots.count; i += thread_count()) {
    const std::int64_t query = last_not_above(i, slots.first, slots.queries);
    const std::int64_t own = i - slots.first[query];
    const std::int64_t row = hits[slots.begin[query] * slots.per_row + own];
    places[i] = row < 0 ? Place{kNoTrack, 0}
                        : Place{last_not_above(row, bounds, tracks + 1), row * ratio - own / slots.per_row};
    owners[i] = query;
    if (row >= bounds[tracks]) {
      atomicMax(outside, static_cast<long long>(row));
    }
  }
}

/// Hits in shared memory, a tile of them at a time: what the threads of a block compare their own with.
struct HitTile {
  Place places[kThreads];
  float similarities[kThreads];
  std::uint8_t is_first[kThreads];
};

/// The hits that a thread compares its own with: [begin, end), all or some of its query's.
struct Rivals {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Calls load(i, k) to put slot i into place k of a tile, and then f(k) for those of this thread's rivals that are
/// in it, in their order, until all slots of the block's queries have been there. The whole block.
template <class Load, class F>
__device__ __forceinline__ void for_rivals(const Slots& slots, const std::int64_t* owners, const Rivals& rivals,
                                           const Load& load, const F& f) {
  const std::int64_t first_slot = static_cast<std::int64_t>(blockIdx.x) * kThreads;
  const std::int64_t last_slot = min(first_slot + kThreads, slots.count) - 1;
  const std::int64_t end = slots.first[owners[last_slot] + 1];
  for (std::int64_t tile = slots.first[owners[first_slot]]; tile < end; tile += kThreads) {
    if (tile + threadIdx.x < end) {
      load(tile + threadIdx.x, static_cast<int>(threadIdx.x));
    }
    __syncthreads();
    const std::int64_t stop = min(rivals.end, tile + kThreads);
    for (std::int64_t i = max(rivals.begin, tile); i < stop; ++i) {
      f(static_cast<int>(i - tile));
    }
    __syncthreads();
  }
}

/// is_first (slots): whether a hit proposes something that none before it in its query does; counts (queries) = how
/// many do.
__global__ void __launch_bounds__(kThreads) first_kernel(Slots slots, const Place* places, const std::int64_t* owners,
                                                         std::uint8_t* is_first, unsigned long long* counts) {
  __shared__ Place tile[kThreads];
  const std::int64_t mine = thread_index();
  const bool real = mine < slots.count;
  const Place place = real ? places[mine] : Place{kNoTrack, 0};
  bool first = place.track != kNoTrack;
  const Rivals earlier = first ? Rivals{slots.first[owners[mine]], mine} : Rivals{};
  for_rivals(
      slots, owners, earlier, [&](std::int64_t i, int k) { tile[k] = places[i]; },
      [&](int k) { first = first && !same(tile[k], place); });
  if (real) {
    is_first[mine] = first ? 1 : 0;
  }
  if (first) {
    atomicAdd(&counts[owners[mine]], 1ULL);
  }
}

__global__ void __launch_bounds__(kThreads)
    count_kernel(Slots slots, const Place* places, const std::int64_t* owners, const std::uint8_t* is_first,
                 const float* similarities, Proposals out) {
  __shared__ HitTile tile;
  const std::int64_t mine = thread_index();
  const bool counts = mine < slots.count && is_first[mine] != 0;
  const Place place = counts ? places[mine] : Place{kNoTrack, 0};
  const Rivals all = counts ? Rivals{slots.first[owners[mine]], slots.first[owners[mine] + 1]} : Rivals{};
  std::int64_t at = all.begin;
  std::int32_t votes = 0;
  float sum = 0;
  for_rivals(
      slots, owners, all,
      [&](std::int64_t i, int k) {
        const std::int64_t query = owners[i];
        tile.places[k] = places[i];
        tile.is_first[k] = is_first[i];
        tile.similarities[k] = similarities[slots.begin[query] * slots.per_row + i - slots.first[query]];
      },
      [&](int k) {
        const Place other = tile.places[k];
        if (same(other, place)) {
          ++votes;
          sum += tile.similarities[k];
        }
        at += tile.is_first[k] != 0 && is_before(other, place) ? 1 : 0;
      });
  if (counts) {
    out.tracks[at] = place.track;
    out.starts[at] = place.start;
    out.votes[at] = votes;
    out.sums[at] = sum;
  }
}

/// The first slot of every query and the number of all, then the first row of every query: (2 q + 1).
std::vector<std::int64_t> layout_of(const Tensor& queries, std::int64_t per_row) {
  const std::int64_t q = queries.dim(0);
  const std::int64_t* range = queries.data<std::int64_t>();
  std::vector<std::int64_t> layout{0};
  for (std::int64_t j = 0; j < q; ++j) {
    layout.push_back(layout.back() + (range[2 * j + 1] - range[2 * j]) * per_row);
  }
  for (std::int64_t j = 0; j < q; ++j) {
    layout.push_back(range[2 * j]);
  }
  return layout;
}

}  // namespace

void offset_vote(const OffsetVote& args) {
  const Device device = args.hits.device();
  const std::int64_t q = args.queries.dim(0);
  const std::vector<std::int64_t> layout = layout_of(args.queries.to(Device{}), args.hits.dim(1));
  const std::int64_t count = layout[static_cast<std::size_t>(q)];
  const Tensor there = Tensor::from<std::int64_t>({2 * q + 1}, layout, device);
  const Slots slots{there.data<std::int64_t>(), there.data<std::int64_t>() + q + 1, q, count, args.hits.dim(1)};
  const Tensor similarities = args.similarities.to(device);
  const Tensor bounds = args.track_rows.to(device);
  const Tensor places({count, 2}, DType::i64, device);
  const Tensor owners({count}, DType::i64, device);
  const Tensor is_first({count}, DType::u8, device);
  const Tensor outside = Tensor::full({1}, -1, DType::i64, device);
  auto* place = reinterpret_cast<Place*>(places.mutable_data<std::int64_t>());
  const std::int64_t* owner = owners.data<std::int64_t>();
  args.counts.fill(0);
  launch(place_kernel, over(count, kThreads), slots, args.hits.data<std::int64_t>(), bounds.data<std::int64_t>(),
         bounds.numel() - 1, args.ratio, place, owners.mutable_data<std::int64_t>(),
         reinterpret_cast<long long*>(outside.mutable_data<std::int64_t>()));
  const Grid hits = blocks((count + kThreads - 1) / kThreads, kThreads);
  launch(first_kernel, hits, slots, place, owner, is_first.mutable_data<std::uint8_t>(),
         reinterpret_cast<unsigned long long*>(args.counts.mutable_data<std::int64_t>()));
  launch(count_kernel, hits, slots, place, owner, is_first.data<std::uint8_t>(), similarities.data<float>(),
         Proposals{args.tracks.mutable_data<std::int64_t>(), args.starts.mutable_data<std::int64_t>(),
                   args.votes.mutable_data<std::int32_t>(), args.sums.mutable_data<float>()});
  const auto hit = static_cast<std::int64_t>(outside.item());
  check(hit < 0, "vote: hit ", hit, " is no row of the database");
}

}  // namespace earmark::kernels::cuda
