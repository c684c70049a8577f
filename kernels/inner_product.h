// Exact search: inner products of query rows with every stored row, and the k best of each query kept on the way.
// The database is streamed once for a whole batch of queries; rows stored as f16 or i8 are widened as they pass.
#pragma once

#include <cstdint>

#include "kernels/byte_rows.h"
#include "kernels/tensor.h"

namespace earmark::kernels {

/// Fingerprints as stored: (n, d) f32, f16 or i8. An i8 row means row * scale, with one scale for all or one per row.
struct StoredRows {
  Tensor rows;    // (n, d)
  Tensor scales;  // i8 only: (1) or (n) f32

  /// Rows [begin, end), sharing memory.
  StoredRows slice(std::int64_t begin, std::int64_t end) const;
  /// The same on `device`: a copy, or these very handles where they are there already.
  StoredRows to(Device device) const;
  /// Bytes of one row, its own scale included.
  std::size_t bytes_per_row() const;
};

/// Throws Error where shapes or types do not fit the description above.
void check_stored_rows(const StoredRows& stored);

/// Continues the running k best of each query with the rows of one block: start from topk_begin, call once per block
/// with `first_row` growing, and the lists hold the best of all. Order: higher score, then lower index.
struct InnerProductTopK {
  Tensor queries;  // (m, d) f32
  StoredRows stored;
  std::int64_t first_row = 0;  // index of the block's row 0
  Tensor scores;               // (m, k) f32, in and out, descending; -infinity where nothing was found yet
  Tensor indices;              // (m, k) i64, in and out; -1 where nothing was found yet
  ByteRows bytes = {};         // of `stored`, on the CPU, or none: the result is the same
};
void inner_product_topk(const InnerProductTopK& args);
/// Empties the lists of `args`: scores -infinity, indices -1.
void topk_begin(const InnerProductTopK& args);

/// out[i] = <queries[owners[i]], row[indices[i]]>.
struct GatheredInnerProduct {
  Tensor queries;  // (m, d) f32
  StoredRows stored;
  Tensor owners;   // (c) i64, each in [0, m)
  Tensor indices;  // (c) i64, each in [0, n)
  Tensor out;      // (c) f32
};
void gathered_inner_product(const GatheredInnerProduct& args);

/// Widens rows [begin, end) to f32: out (end - begin, d), where the rows are.
void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out);

/// Stores f32 rows as `out.rows`' type: f16 by rounding; i8 with the scale max|row| / 127 per row where out.scales is
/// (n), or with the largest of all rows where it is (1). On the CPU only.
void narrow_rows(const Tensor& rows, const StoredRows& out);

namespace cpu {
void inner_product_topk(const InnerProductTopK& args);
void gathered_inner_product(const GatheredInnerProduct& args);
void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out);
}  // namespace cpu
namespace cuda {
void inner_product_topk(const InnerProductTopK& args);
void gathered_inner_product(const GatheredInnerProduct& args);
void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out);
}  // namespace cuda
}  // namespace earmark::kernels
