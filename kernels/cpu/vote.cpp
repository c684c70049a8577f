#include "kernels/vote.h"

#include <algorithm>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

struct Proposal {
  std::int64_t track;
  std::int64_t start;
  float similarity;
};

/// Of query rows [begin, end).
std::vector<Proposal> proposals(const OffsetVote& args, std::int64_t begin, std::int64_t end) {
  const auto bounds = args.track_rows.values<std::int64_t>();
  const std::int64_t k = args.hits.dim(1);
  std::vector<Proposal> all;
  all.reserve(static_cast<std::size_t>((end - begin) * k));
  for (std::int64_t i = begin * k; i < end * k; ++i) {
    const std::int64_t hit = args.hits.data<std::int64_t>()[i];
    if (hit < 0) {
      continue;
    }
    check(hit < bounds.back(), "vote: hit ", hit, " of ", bounds.back(), " rows");
    const auto track = std::upper_bound(bounds.begin(), bounds.end(), hit) - bounds.begin() - 1;
    all.push_back({track, hit * args.ratio - (i / k - begin), args.similarities.data<float>()[i]});
  }
  // Stable: similarities of one place are summed in the order of the query, whatever the sort does.
  std::stable_sort(all.begin(), all.end(), [](const Proposal& a, const Proposal& b) {
    return a.track != b.track ? a.track < b.track : a.start < b.start;
  });
  return all;
}

/// Writes one query's proposals from `first` on; returns how many.
std::int64_t count(const std::vector<Proposal>& all, const OffsetVote& args, std::int64_t first) {
  std::int64_t* tracks = args.tracks.mutable_data<std::int64_t>() + first;
  std::int64_t* starts = args.starts.mutable_data<std::int64_t>() + first;
  std::int32_t* votes = args.votes.mutable_data<std::int32_t>() + first;
  float* sums = args.sums.mutable_data<float>() + first;
  std::int64_t written = 0;
  for (const Proposal& p : all) {
    const bool same = written > 0 && tracks[written - 1] == p.track && starts[written - 1] == p.start;
    const std::int64_t at = same ? written - 1 : written++;
    tracks[at] = p.track;
    starts[at] = p.start;
    votes[at] = (same ? votes[at] : 0) + 1;
    sums[at] = (same ? sums[at] : 0) + p.similarity;
  }
  return written;
}

}  // namespace

void offset_vote(const OffsetVote& args) {
  const Tensor ranges = args.queries.to(Device{});
  const std::int64_t* range = ranges.data<std::int64_t>();
  std::vector<std::int64_t> firsts{0};
  for (std::int64_t q = 0; q < ranges.dim(0); ++q) {
    firsts.push_back(firsts.back() + (range[2 * q + 1] - range[2 * q]) * args.hits.dim(1));
  }
  parallel_for(ranges.dim(0), [&](std::int64_t q) {
    args.counts.mutable_data<std::int64_t>()[q] =
        count(proposals(args, range[2 * q], range[2 * q + 1]), args, firsts[static_cast<std::size_t>(q)]);
  });
}

}  // namespace earmark::kernels::cpu
