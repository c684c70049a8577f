#include "search/exact.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::search {
namespace {

/// Goes on with rows [from, to) of a block, part by part where they are not on the device yet. `bytes` of the block, or
/// none.
void scan(kernels::InnerProductTopK& args, const Database& database, const Block& block, const kernels::ByteRows& bytes,
          std::int64_t from, std::int64_t to) {
  const bool resident = block.stored.rows.device() == database.device();
  const std::int64_t step = resident ? to - from : database.part_rows();
  for (std::int64_t begin = from; begin < to; begin += step) {
    args.stored = {};  // before the next part is copied: no two are on the device at once
    args.stored = block.stored.slice(begin, std::min(to, begin + step)).to(database.device());
    args.first_row = block.first + begin;
    args.bytes = bytes ? bytes.slice(begin, std::min(to, begin + step)) : bytes;
    kernels::inner_product_topk(args);
  }
}

/// Rows [begin, end) of the database.
struct Rows {
  std::int64_t begin;
  std::int64_t end;
};

Neighbours search_rows(const Database& database, const Tensor& queries, int k, std::initializer_list<Rows> parts) {
  const TraceRange range("exact search");
  check(queries.shape().rank() == 2, "queries: expected (n, dimension), got ", queries.shape());
  check(k >= 1, "neighbours: expected at least 1, got ", k);
  const Shape shape{queries.dim(0), k};
  const Device device = database.device();
  kernels::InnerProductTopK args{
      queries.to(device), {}, 0, Tensor(shape, DType::f32, device), Tensor(shape, DType::i64, device)};
  kernels::topk_begin(args);
  const auto bytes = database.bytes_for_scan();
  for (std::size_t i = 0; i < database.blocks().size(); ++i) {
    const Block& block = database.blocks()[i];
    const auto in_block = [&](std::int64_t row) {
      return std::clamp<std::int64_t>(row - block.first, 0, block.stored.rows.dim(0));
    };
    for (const Rows& part : parts) {
      scan(args, database, block, bytes ? bytes->at(i) : kernels::ByteRows(), in_block(part.begin), in_block(part.end));
    }
  }
  return {args.indices.to(Device{}), args.scores.to(Device{})};
}

}  // namespace

Neighbours exact_search(const Database& database, const Tensor& queries, int k) {
  return search_rows(database, queries, k, {{0, database.rows()}});
}

Neighbours exact_search_without(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                                std::int64_t end) {
  return search_rows(database, queries, k, {{0, begin}, {std::max(begin, end), database.rows()}});
}

Neighbours exact_search_within(const Database& database, const Tensor& queries, int k, std::int64_t begin,
                               std::int64_t end) {
  return search_rows(database, queries, k, {{begin, end}});
}

Neighbours best_neighbours(const std::vector<Neighbours>& lists) {
  check(!lists.empty(), "no lists of neighbours");
  const std::int64_t m = lists.front().indices.dim(0);
  const std::int64_t k = lists.front().indices.dim(1);
  const Neighbours best{Tensor({m, k}, DType::i64), Tensor({m, k})};
  std::vector<std::pair<float, std::int64_t>> found;
  for (std::int64_t q = 0; q < m; ++q) {
    found.clear();
    for (const Neighbours& list : lists) {
      for (std::int64_t i = q * k; i < (q + 1) * k; ++i) {
        if (const std::int64_t row = list.indices.data<std::int64_t>()[i]; row >= 0) {
          found.emplace_back(-list.scores.data<float>()[i], row);
        }
      }
    }
    std::ranges::sort(found);  // by falling score, then by row
    found.resize(static_cast<std::size_t>(k), {std::numeric_limits<float>::infinity(), -1});
    for (std::int64_t i = 0; i < k; ++i) {
      const auto [negated, row] = found[static_cast<std::size_t>(i)];
      best.indices.mutable_data<std::int64_t>()[q * k + i] = row;
      best.scores.mutable_data<float>()[q * k + i] = -negated;
    }
  }
  return best;
}

}  // namespace earmark::search
