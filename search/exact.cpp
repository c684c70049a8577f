#include "search/exact.h"

#include <algorithm>

#include "kernels/error.h"

namespace earmark::search {
namespace {

kernels::StoredRows rows_of(const Block& block, std::int64_t from, std::int64_t to) {
  const Tensor& scales = block.stored.scales;
  const bool per_row = scales && scales.numel() == block.stored.rows.dim(0);
  return {block.stored.rows.slice(from, to), per_row ? scales.slice(from, to) : scales};
}

}  // namespace

Neighbours exact_search(const Database& database, const Tensor& queries, int k) {
  return exact_search_without(database, queries, k, 0, 0);
}

Neighbours exact_search_without(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                                std::int64_t end) {
  check(queries.shape().rank() == 2, "queries: expected (n, dimension), got ", queries.shape());
  check(k >= 1, "neighbours: expected at least 1, got ", k);
  kernels::InnerProductTopK args{queries, {}, 0, Tensor({queries.dim(0), k}), Tensor({queries.dim(0), k}, DType::i64)};
  kernels::topk_begin(args);
  const auto scan = [&](const Block& block, std::int64_t from, std::int64_t to) {
    if (from < to) {
      args.stored = rows_of(block, from, to);
      args.first_row = block.first + from;
      kernels::inner_product_topk(args);
    }
  };
  for (const Block& block : database.blocks()) {
    const std::int64_t rows = block.stored.rows.dim(0);
    scan(block, 0, std::clamp<std::int64_t>(begin - block.first, 0, rows));
    scan(block, std::clamp<std::int64_t>(end - block.first, 0, rows), rows);
  }
  return {args.indices, args.scores};
}

}  // namespace earmark::search
