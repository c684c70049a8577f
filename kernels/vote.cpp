#include "kernels/vote.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

std::int64_t offset_vote(const OffsetVote& args) {
  const std::int64_t hits = args.hits.numel();
  check(args.hits.shape().rank() == 2 && args.similarities.shape() == args.hits.shape(), "vote: hits ",
        args.hits.shape(), ", similarities ", args.similarities.shape());
  check(args.tracks.numel() >= hits && args.starts.numel() >= hits && args.votes.numel() >= hits &&
            args.sums.numel() >= hits,
        "vote: results need room for ", hits, " proposals");
  check(args.ratio >= 1 && args.track_rows.numel() >= 1, "vote: ratio ", args.ratio, ", ", args.track_rows.numel(),
        " track bounds");
  return run_on<cpu::offset_vote, cuda::offset_vote>(args.hits.device(), args);
}

}  // namespace earmark::kernels
