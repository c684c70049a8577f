// A query's candidates lie anywhere, so that reading them is what costs: each is fetched ahead. Where the rows' bytes
// are there (byte_rows.h), only those candidates are read whole whose bytes do not leave them out.
#include "kernels/gathered_topk.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/cpu/byte_products.h"
#include "kernels/cpu/stored_row.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kFetchedAhead = 8;

/// One query's candidates in the block, as numbers of its rows.
std::vector<std::int64_t> candidates_of(const GatheredTopK& args, std::int64_t q) {
  const std::int64_t* all = args.candidates.data<std::int64_t>();
  const std::int64_t* range = args.ranges.data<std::int64_t>() + 2 * q;
  check(0 <= range[0] && range[0] <= range[1] && range[1] <= args.candidates.numel(), "best candidates: those of ", q,
        " are [", range[0], ", ", range[1], ") of ", args.candidates.numel());
  const std::int64_t* begin = std::lower_bound(all + range[0], all + range[1], args.first_row);
  const std::int64_t* end = std::lower_bound(begin, all + range[1], args.first_row + args.stored.rows.dim(0));
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::transform(begin, end, rows.begin(), [&](std::int64_t row) { return row - args.first_row; });
  return rows;
}

template <class T>
void fetch_row(const T* row, std::int64_t d) {
  for (std::int64_t byte = 0; byte < d * std::int64_t{sizeof(T)}; byte += 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(row) + byte);
  }
}

/// Calls f(row) for each, those behind it being on their way: `fetch`(row) asks for one.
template <class Fetch, class F>
void for_each_fetched(const std::vector<std::int64_t>& rows, const Fetch& fetch, const F& f) {
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t i = 0; i < std::min(kFetchedAhead, count); ++i) {
    fetch(rows[static_cast<std::size_t>(i)]);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + kFetchedAhead < count) {
      fetch(rows[static_cast<std::size_t>(i + kFetchedAhead)]);
    }
    f(rows[static_cast<std::size_t>(i)]);
  }
}

/// A query's products with rows as bytes.
class ByteQuery {
 public:
  /// `query` of `queries`, bytes of all of them.
  ByteQuery(const ByteRows& queries, std::int64_t query, std::int64_t dimension, const ByteRows& rows)
      : rows_(rows),
        d_(rows.bytes.dim(1)),
        bound_(bound_of(queries.facts.data<float>() + query * 4, dimension)),
        vectors_(static_cast<std::size_t>((d_ + kVectorBytes - 1) / kVectorBytes)) {
    const auto* from = queries.bytes.data<std::int8_t>() + query * d_;
    for (std::int64_t j = 0; j < d_; ++j) {
      reinterpret_cast<std::uint8_t*>(vectors_.data())[j] = static_cast<std::uint8_t>(from[j] + 128);
    }
  }
  void fetch(std::int64_t row) const {
    fetch_row(rows_.bytes.data<std::int8_t>() + row * d_, d_);
    __builtin_prefetch(rows_.facts.data<float>() + row * 4);
  }
  struct Range {
    float least;
    float most;
  };
  /// What the product of floats lies between.
  Range product(std::int64_t row) const {
    const std::int8_t* bytes = rows_.bytes.data<std::int8_t>() + row * d_;
    const float* facts = rows_.facts.data<float>() + row * 4;
    Ints sums{};
    std::int64_t j = 0;
    for (; j + kVectorBytes <= d_; j += kVectorBytes) {
      sums = add_byte_products(sums, vectors_[static_cast<std::size_t>(j / kVectorBytes)], load_as<Ints>(bytes + j));
    }
    if (j < d_) {
      Ints last{};
      __builtin_memcpy(&last, bytes + j, static_cast<std::size_t>(d_ - j));
      sums = add_byte_products(sums, vectors_.back(), last);
    }
    std::int32_t sum = sum_begin(facts);
    for (int lane = 0; lane < kLanes<std::int32_t>; ++lane) {
      sum += sums[lane];
    }
    const float near = static_cast<float>(sum) * bound_.scale * facts[0];
    const float off = bound_.per_kept_length * facts[1] + bound_.per_missing_length * facts[2];
    return {near - off, near + off};
  }

 private:
  const ByteRows& rows_;
  std::int64_t d_;
  ByteBound bound_;
  std::vector<Ints> vectors_;
};

/// Those of `rows` that can be among the k best and exceed `limit`.
std::vector<std::int64_t> possible(const ByteQuery& query, const std::vector<std::int64_t>& rows, std::int64_t k,
                                   float limit) {
  std::vector<float> most;
  std::vector<float> sure;
  most.reserve(rows.size());
  sure.reserve(rows.size());
  for_each_fetched(
      rows, [&](std::int64_t row) { query.fetch(row); },
      [&](std::int64_t row) {
        const ByteQuery::Range product = query.product(row);
        most.push_back(product.most);
        sure.push_back(product.least);
      });
  if (k <= static_cast<std::int64_t>(sure.size())) {
    std::nth_element(sure.begin(), sure.begin() + (k - 1), sure.end(), std::greater<>());
    // A row that only reaches what k rows are sure of still comes before those behind it.
    limit =
        std::max(limit, std::nextafter(sure[static_cast<std::size_t>(k - 1)], -std::numeric_limits<float>::infinity()));
  }
  std::vector<std::int64_t> left;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (most[i] > limit) {
      left.push_back(rows[i]);
    }
  }
  return left;
}

/// Keeps the k best; rows arrive in ascending order, so that ties go to the lower one.
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

template <class T>
void best_of_query(const GatheredTopK& args, const ByteRows& queries, std::int64_t q) {
  const std::int64_t d = args.queries.dim(1);
  const std::int64_t k = args.scores.dim(1);
  const T* stored = args.stored.rows.data<T>();
  const float* query = args.queries.data<float>() + q * d;
  float* scores = args.scores.mutable_data<float>() + q * k;
  std::int64_t* indices = args.indices.mutable_data<std::int64_t>() + q * k;
  std::vector<std::int64_t> rows = candidates_of(args, q);
  if (queries && is_known(queries.facts.data<float>() + q * 4)) {
    rows = possible(ByteQuery(queries, q, d, args.bytes), rows, k, scores[k - 1]);
  }
  for_each_fetched(
      rows, [&](std::int64_t row) { fetch_row(stored + row * d, d); },
      [&](std::int64_t row) {
        const float score = inner_product(query, stored + row * d, d) * scale_of(args.stored, row);
        insert(score, args.first_row + row, k, scores, indices);
      });
}

}  // namespace

void gathered_topk(const GatheredTopK& args) {
  const ByteRows queries = args.bytes ? make_byte_rows({args.queries, {}}) : ByteRows();
  with_row_type(args.stored, [&]<class T>() {
    parallel_for(args.queries.dim(0), [&](std::int64_t q) { best_of_query<T>(args, queries, q); });
  });
}

}  // namespace earmark::kernels::cpu
