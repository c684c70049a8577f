// Places are counted without sorting: every hit is compared with all others. The first hit of a place counts its votes,
// sums its similarities in the order of the query, as the CPU does, and finds where the place stands: behind as many
// places as are smaller. Hits are few (some thousands for a minute of sound), so that all of it is three launches whose
// time is their latency. Floor: n * n comparisons of two numbers, twice, over 33 T/s: 12 us for 10000 hits.
#include <array>

#include "kernels/cuda/launch.cuh"
#include "kernels/vote.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr std::int64_t kNoTrack = -1;

/// What a hit proposes; track kNoTrack: nothing.
struct Place {
  std::int64_t track;
  std::int64_t start;
};

__device__ __forceinline__ bool same(const Place& a, const Place& b) {
  return a.track == b.track && a.start == b.start;
}
__device__ __forceinline__ bool is_before(const Place& a, const Place& b) {
  return a.track != b.track ? a.track < b.track : a.start < b.start;
}

struct Hits {
  const std::int64_t* rows;
  std::int64_t count;
  std::int64_t per_query;
};

/// Results in the order of OffsetVote's.
struct Proposals {
  std::int64_t* tracks;
  std::int64_t* starts;
  std::int32_t* votes;
  float* sums;
};

/// The last of the ascending bounds (tracks + 1) that is not above `row`.
__device__ __forceinline__ std::int64_t track_of(std::int64_t row, const std::int64_t* bounds, std::int64_t count) {
  std::int64_t low = 0;
  std::int64_t high = count;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (bounds[middle] <= row) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

/// places (count) of all hits; highest = the largest hit.
__global__ void __launch_bounds__(kThreads)
    place_kernel(Hits hits, const std::int64_t* bounds, std::int64_t bound_count, std::int64_t ratio, Place* places,
                 long long* highest) {
  for (std::int64_t i = thread_index(); i < hits.count; i += thread_count()) {
    const std::int64_t row = hits.rows[i];
    places[i] =
        row < 0 ? Place{kNoTrack, 0} : Place{track_of(row, bounds, bound_count), row * ratio - i / hits.per_query};
    atomicMax(highest, static_cast<long long>(row));
  }
}

/// is_first (count): whether a hit proposes something that none before it does.
__global__ void __launch_bounds__(kThreads)
    first_kernel(const Place* places, std::int64_t count, std::uint8_t* is_first, unsigned long long* found) {
  for (std::int64_t i = thread_index(); i < count; i += thread_count()) {
    const Place mine = places[i];
    bool first = mine.track != kNoTrack;
    for (std::int64_t j = 0; first && j < i; ++j) {
      first = !same(places[j], mine);
    }
    is_first[i] = first ? 1 : 0;
    if (first) {
      atomicAdd(found, 1ULL);
    }
  }
}

__global__ void __launch_bounds__(kThreads) count_kernel(const Place* places, const std::uint8_t* is_first,
                                                         const float* similarities, std::int64_t count, Proposals out) {
  for (std::int64_t i = thread_index(); i < count; i += thread_count()) {
    if (is_first[i] == 0) {
      continue;
    }
    const Place mine = places[i];
    std::int64_t before = 0;
    std::int32_t votes = 0;
    float sum = 0;
    for (std::int64_t j = 0; j < count; ++j) {
      const Place other = places[j];
      if (same(other, mine)) {
        ++votes;
        sum += similarities[j];
      }
      before += is_first[j] != 0 && is_before(other, mine) ? 1 : 0;
    }
    out.tracks[before] = mine.track;
    out.starts[before] = mine.start;
    out.votes[before] = votes;
    out.sums[before] = sum;
  }
}

}  // namespace

std::int64_t offset_vote(const OffsetVote& args) {
  const Device device = args.hits.device();
  const std::int64_t count = args.hits.numel();
  const std::int64_t rows =
      args.track_rows.slice(args.track_rows.numel() - 1, args.track_rows.numel()).to(Device{}).data<std::int64_t>()[0];
  const Tensor similarities = args.similarities.to(device);
  const Tensor bounds = args.track_rows.to(device);
  const Tensor places({count, 2}, DType::i64, device);
  const Tensor is_first({count}, DType::u8, device);
  const Tensor totals = Tensor::from<std::int64_t>({2}, std::array<std::int64_t, 2>{-1, 0}, device);
  auto* place = reinterpret_cast<Place*>(places.mutable_data<std::int64_t>());
  auto* highest = reinterpret_cast<long long*>(totals.mutable_data<std::int64_t>());
  launch(place_kernel, over(count, kThreads),
         Hits{args.hits.data<std::int64_t>(), count, std::max<std::int64_t>(1, args.hits.dim(1))},
         bounds.data<std::int64_t>(), bounds.numel(), args.ratio, place, highest);
  launch(first_kernel, over(count, kThreads), place, count, is_first.mutable_data<std::uint8_t>(),
         reinterpret_cast<unsigned long long*>(highest + 1));
  launch(count_kernel, over(count, kThreads), place, is_first.data<std::uint8_t>(), similarities.data<float>(), count,
         Proposals{args.tracks.mutable_data<std::int64_t>(), args.starts.mutable_data<std::int64_t>(),
                   args.votes.mutable_data<std::int32_t>(), args.sums.mutable_data<float>()});
  const Tensor back = totals.to(Device{});
  const std::int64_t hit = back.data<std::int64_t>()[0];
  check(hit < rows, "vote: hit ", hit, " of ", rows, " rows");
  return back.data<std::int64_t>()[1];
}

}  // namespace earmark::kernels::cuda
