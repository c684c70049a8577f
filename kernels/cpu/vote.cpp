#include "kernels/vote.h"

#include <algorithm>
#include <vector>

#include "kernels/error.h"

namespace earmark::kernels::cpu {
namespace {

struct Proposal {
  std::int64_t track;
  std::int64_t start;
  float similarity;
};

std::vector<Proposal> proposals(const OffsetVote& args) {
  const auto bounds = args.track_rows.values<std::int64_t>();
  const std::int64_t k = args.hits.dim(1);
  std::vector<Proposal> all;
  all.reserve(static_cast<std::size_t>(args.hits.numel()));
  for (std::int64_t i = 0; i < args.hits.numel(); ++i) {
    const std::int64_t hit = args.hits.data<std::int64_t>()[i];
    if (hit < 0) {
      continue;
    }
    check(hit < bounds.back(), "vote: hit ", hit, " of ", bounds.back(), " rows");
    const auto track = std::upper_bound(bounds.begin(), bounds.end(), hit) - bounds.begin() - 1;
    all.push_back({track, hit * args.ratio - i / k, args.similarities.data<float>()[i]});
  }
  // Stable: similarities of one place are summed in the order of the query, whatever the sort does.
  std::stable_sort(all.begin(), all.end(), [](const Proposal& a, const Proposal& b) {
    return a.track != b.track ? a.track < b.track : a.start < b.start;
  });
  return all;
}

}  // namespace

std::int64_t offset_vote(const OffsetVote& args) {
  std::int64_t* tracks = args.tracks.mutable_data<std::int64_t>();
  std::int64_t* starts = args.starts.mutable_data<std::int64_t>();
  std::int64_t written = 0;
  for (const Proposal& p : proposals(args)) {
    const bool same = written > 0 && tracks[written - 1] == p.track && starts[written - 1] == p.start;
    const std::int64_t at = same ? written - 1 : written++;
    tracks[at] = p.track;
    starts[at] = p.start;
    args.votes.mutable_data<std::int32_t>()[at] = (same ? args.votes.data<std::int32_t>()[at] : 0) + 1;
    args.sums.mutable_data<float>()[at] = (same ? args.sums.data<float>()[at] : 0) + p.similarity;
  }
  return written;
}

}  // namespace earmark::kernels::cpu
