#include "kernels/score.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void sequence_score(const SequenceScore& args) {
  check_stored_rows(args.stored);
  check(args.queries.shape().rank() == 2 && args.queries.dim(1) == args.stored.rows.dim(1), "sequence score: queries ",
        args.queries.shape(), " against rows ", args.stored.rows.shape());
  check(args.ratio >= 1, "sequence score: expected a ratio of at least 1, got ", args.ratio);
  const std::int64_t count = args.starts.numel();
  check(args.begins.numel() == count && args.ends.numel() == count && args.scores.numel() == count,
        "sequence score: ", count, " starts, ", args.begins.numel(), " begins, ", args.ends.numel(), " ends, ",
        args.scores.numel(), " scores");
  const Tensor begins = args.begins.to(Device{});
  const Tensor ends = args.ends.to(Device{});
  for (std::int64_t c = 0; c < count; ++c) {
    check(0 <= begins.data<std::int64_t>()[c] && ends.data<std::int64_t>()[c] <= args.stored.rows.dim(0),
          "sequence score: track of candidate ", c, " lies outside the rows");
  }
  run_on<cpu::sequence_score, cuda::sequence_score>(args.queries.device(), args);
}

}  // namespace earmark::kernels
