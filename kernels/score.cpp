#include "kernels/score.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

/// Throws Error unless [begins, ends) of every candidate are among `rows` rows.
void check_ranges(const char* what, const Tensor& begins, const Tensor& ends, std::int64_t rows) {
  const Tensor first = begins.to(Device{});
  const Tensor last = ends.to(Device{});
  for (std::int64_t c = 0; c < first.numel(); ++c) {
    const std::int64_t begin = first.data<std::int64_t>()[c];
    const std::int64_t end = last.data<std::int64_t>()[c];
    check(0 <= begin && end <= rows, "sequence score: ", what, " of candidate ", c, ", ", begin, " to ", end,
          ", lies outside the ", rows, " rows");
  }
}

}  // namespace

void sequence_score(const SequenceScore& args) {
  check_stored_rows(args.stored);
  check(args.queries.shape().rank() == 2 && args.queries.dim(1) == args.stored.rows.dim(1), "sequence score: queries ",
        args.queries.shape(), " against rows ", args.stored.rows.shape());
  check(args.ratio >= 1, "sequence score: expected a ratio of at least 1, got ", args.ratio);
  const std::int64_t count = args.starts.numel();
  for (const Tensor* each : {&args.query_begins, &args.query_ends, &args.begins, &args.ends, &args.scores}) {
    check(each->numel() == count, "sequence score: ", count, " starts, but ", each->numel(),
          " bounds or scores for them");
  }
  check_ranges("query", args.query_begins, args.query_ends, args.queries.dim(0));
  check_ranges("track", args.begins, args.ends, args.stored.rows.dim(0));
  run_on<cpu::sequence_score, cuda::sequence_score>(args.queries.device(), args);
}

}  // namespace earmark::kernels
