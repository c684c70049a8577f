#include "kernels/vote.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

std::int64_t most_proposals(const Tensor& queries, std::int64_t k) {
  const Tensor ranges = queries.to(Device{});
  std::int64_t rows = 0;
  for (std::int64_t q = 0; q < ranges.dim(0); ++q) {
    rows += ranges.data<std::int64_t>()[2 * q + 1] - ranges.data<std::int64_t>()[2 * q];
  }
  return rows * k;
}

void offset_vote(const OffsetVote& args) {
  check(args.hits.shape().rank() == 2 && args.similarities.shape() == args.hits.shape(), "vote: hits ",
        args.hits.shape(), ", similarities ", args.similarities.shape());
  check(args.queries.shape().rank() == 2 && args.queries.dim(1) == 2 && args.counts.numel() == args.queries.dim(0),
        "vote: queries ", args.queries.shape(), ", expected (q, 2), and ", args.counts.numel(), " counts");
  const Tensor queries = args.queries.to(Device{});
  for (std::int64_t q = 0; q < queries.dim(0); ++q) {
    const std::int64_t begin = queries.data<std::int64_t>()[2 * q];
    const std::int64_t end = queries.data<std::int64_t>()[2 * q + 1];
    check(0 <= begin && begin <= end && end <= args.hits.dim(0), "vote: query ", q, " has rows ", begin, " to ", end,
          " of ", args.hits.dim(0));
  }
  const std::int64_t room = most_proposals(queries, args.hits.dim(1));
  check(args.tracks.numel() >= room && args.starts.numel() >= room && args.votes.numel() >= room &&
            args.sums.numel() >= room,
        "vote: results need room for ", room, " proposals");
  check(args.ratio >= 1 && args.track_rows.numel() >= 1, "vote: ratio ", args.ratio, ", ", args.track_rows.numel(),
        " track bounds");
  run_on<cpu::offset_vote, cuda::offset_vote>(args.hits.device(), args);
}

}  // namespace earmark::kernels
