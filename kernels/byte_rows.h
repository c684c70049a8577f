// Stored fingerprints in a quarter of their bytes, for the first look of an exact search: how far a row's inner product
// can be from that of its bytes is known, so that most rows are left out for certain, and the others are compared as
// they are stored. The result is that of comparing all of them, bit for bit. On the CPU only.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace earmark::kernels {

struct StoredRows;

/// row ≈ scale * bytes. A scale, lengths and a sum for each row:
struct ByteRows {
  Tensor bytes;  // (n, d rounded up to fours) i8, filled up with zeros
  Tensor facts;  // (n, 4) f32: scale; length of scale * bytes; length of what is left; sum of the bytes

  explicit operator bool() const { return static_cast<bool>(bytes); }
  /// Rows [begin, end), sharing memory.
  ByteRows slice(std::int64_t begin, std::int64_t end) const;
};

/// Whether this processor multiplies bytes several times as fast as floats: without that they are no gain.
bool byte_rows_are_fast();

/// Bytes of rows of any type; those of i8 rows are these very rows.
ByteRows make_byte_rows(const StoredRows& stored);

/// Finds the rows that can be among the k best of any query: all that are, and few others. `queries` (m, d) f32;
/// `limits` has a score for each query that a row must exceed.
struct ByteScan {
  Tensor queries;
  ByteRows rows;
  std::int64_t k = 0;
  std::vector<float> limits;
};

namespace cpu {
/// Ascending.
std::vector<std::int64_t> scan_bytes(const ByteScan& args);
}  // namespace cpu
}  // namespace earmark::kernels
