#include "kernels/score.h"

#include <algorithm>
#include <limits>

#include "kernels/cpu/stored_row.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kCandidatesPerTask = 16;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

template <class T>
float mean_inner_product(const SequenceScore& args, std::int64_t candidate) {
  const std::int64_t d = args.queries.dim(1);
  const std::int64_t ratio = args.ratio;
  const std::int64_t start = args.starts.data<std::int64_t>()[candidate];
  const std::int64_t query = args.query_begins.data<std::int64_t>()[candidate];
  const std::int64_t query_rows = args.query_ends.data<std::int64_t>()[candidate] - query;
  // Rows r whose query row r * ratio - start exists.
  const std::int64_t begin = std::max(args.begins.data<std::int64_t>()[candidate], divide_up(start, ratio));
  const std::int64_t end = std::min(args.ends.data<std::int64_t>()[candidate], divide_up(start + query_rows, ratio));
  if (end - begin < std::max(1, args.min_overlap)) {
    return -std::numeric_limits<float>::infinity();
  }
  double sum = 0;
  for (std::int64_t row = begin; row < end; ++row) {
    const float product = inner_product(args.queries.data<float>() + (query + row * ratio - start) * d,
                                        args.stored.rows.data<T>() + row * d, d);
    sum += static_cast<double>(product * scale_of(args.stored, row));
  }
  return static_cast<float>(sum / static_cast<double>(end - begin));
}

}  // namespace

void sequence_score(const SequenceScore& args) {
  with_row_type(args.stored, [&]<class T>() {
    parallel_ranges(args.starts.numel(), kCandidatesPerTask, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t c = begin; c < end; ++c) {
        args.scores.mutable_data<float>()[c] = mean_inner_product<T>(args, c);
      }
    });
  });
}

}  // namespace earmark::kernels::cpu
