#include "kernels/gathered_topk.h"

#include <algorithm>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

/// Keeps the k best of one query; rows arrive in ascending order, so that ties go to the lower one.
void insert(float score, std::int64_t row, std::int64_t k, float* scores, std::int64_t* indices) {
  if (!(score > scores[k - 1])) {
    return;
  }
  std::int64_t at = k - 1;
  for (; at > 0 && scores[at - 1] < score; --at) {
    scores[at] = scores[at - 1];
    indices[at] = indices[at - 1];
  }
  scores[at] = score;
  indices[at] = row;
}

/// The part of a query's candidates that lies in the block.
struct Part {
  const std::int64_t* begin;
  std::int64_t first;  // of its candidates, among those of all queries
  std::int64_t count;
};

std::vector<Part> parts_of(const GatheredTopK& args) {
  const std::int64_t after = args.first_row + args.stored.rows.dim(0);
  const std::int64_t* candidates = args.candidates.data<std::int64_t>();
  std::vector<Part> parts;
  std::int64_t total = 0;
  for (std::int64_t q = 0; q < args.queries.dim(0); ++q) {
    const std::int64_t* range = args.ranges.data<std::int64_t>() + 2 * q;
    check(0 <= range[0] && range[0] <= range[1] && range[1] <= args.candidates.numel(), "best candidates: those of ", q,
          " are [", range[0], ", ", range[1], ") of ", args.candidates.numel());
    const std::int64_t* begin = std::lower_bound(candidates + range[0], candidates + range[1], args.first_row);
    const std::int64_t* end = std::lower_bound(begin, candidates + range[1], after);
    parts.push_back({begin, total, end - begin});
    total += end - begin;
  }
  return parts;
}

}  // namespace

void gathered_topk(const GatheredTopK& args) {
  const std::vector<Part> parts = parts_of(args);
  const std::int64_t total = parts.empty() ? 0 : parts.back().first + parts.back().count;
  if (total == 0) {
    return;
  }
  const auto queries = static_cast<std::int64_t>(parts.size());
  const GatheredInnerProduct products{args.queries, args.stored, Tensor({total}, DType::i64),
                                      Tensor({total}, DType::i64), Tensor({total})};
  parallel_for(queries, [&](std::int64_t q) {
    const Part& part = parts[static_cast<std::size_t>(q)];
    std::fill_n(products.owners.mutable_data<std::int64_t>() + part.first, part.count, q);
    std::transform(part.begin, part.begin + part.count, products.indices.mutable_data<std::int64_t>() + part.first,
                   [&](std::int64_t row) { return row - args.first_row; });
  });
  kernels::gathered_inner_product(products);
  const std::int64_t k = args.scores.dim(1);
  parallel_for(queries, [&](std::int64_t q) {
    const Part& part = parts[static_cast<std::size_t>(q)];
    for (std::int64_t i = 0; i < part.count; ++i) {
      insert(products.out.data<float>()[part.first + i], part.begin[i], k, args.scores.mutable_data<float>() + q * k,
             args.indices.mutable_data<std::int64_t>() + q * k);
    }
  });
}

}  // namespace earmark::kernels::cpu
