#include "search/exact.h"

#include "kernels/error.h"

namespace earmark::search {

Neighbours exact_search(const Database& database, const Tensor& queries, int k) {
  check(queries.shape().rank() == 2, "queries: expected (n, dimension), got ", queries.shape());
  check(k >= 1, "neighbours: expected at least 1, got ", k);
  kernels::InnerProductTopK args{queries, {}, 0, Tensor({queries.dim(0), k}), Tensor({queries.dim(0), k}, DType::i64)};
  kernels::topk_begin(args);
  for (const Block& block : database.blocks()) {
    args.stored = block.stored;
    args.first_row = block.first;
    kernels::inner_product_topk(args);
  }
  return {args.indices, args.scores};
}

}  // namespace earmark::search
