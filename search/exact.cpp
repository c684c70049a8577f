#include "search/exact.h"

#include <algorithm>

#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::search {
namespace {

/// Goes on with rows [from, to) of a block, part by part where they are not on the device yet.
void scan(kernels::InnerProductTopK& args, const Database& database, const Block& block, std::int64_t from,
          std::int64_t to) {
  const bool resident = block.stored.rows.device() == database.device();
  const std::int64_t step = resident ? to - from : database.part_rows();
  for (std::int64_t begin = from; begin < to; begin += step) {
    args.stored = {};  // before the next part is copied: no two are on the device at once
    args.stored = block.stored.slice(begin, std::min(to, begin + step)).to(database.device());
    args.first_row = block.first + begin;
    kernels::inner_product_topk(args);
  }
}

}  // namespace

Neighbours exact_search(const Database& database, const Tensor& queries, int k) {
  return exact_search_without(database, queries, k, 0, 0);
}

Neighbours exact_search_without(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                                std::int64_t end) {
  const TraceRange range("exact search");
  check(queries.shape().rank() == 2, "queries: expected (n, dimension), got ", queries.shape());
  check(k >= 1, "neighbours: expected at least 1, got ", k);
  const Shape shape{queries.dim(0), k};
  const Device device = database.device();
  kernels::InnerProductTopK args{
      queries.to(device), {}, 0, Tensor(shape, DType::f32, device), Tensor(shape, DType::i64, device)};
  kernels::topk_begin(args);
  for (const Block& block : database.blocks()) {
    const std::int64_t rows = block.stored.rows.dim(0);
    scan(args, database, block, 0, std::clamp<std::int64_t>(begin - block.first, 0, rows));
    scan(args, database, block, std::clamp<std::int64_t>(end - block.first, 0, rows), rows);
  }
  return {args.indices.to(Device{}), args.scores.to(Device{})};
}

}  // namespace earmark::search
