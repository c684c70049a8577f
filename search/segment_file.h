// A segment file: fingerprints or landmarks of some tracks, written once and never changed. A header of one page, the
// rows, then the scales of i8 rows; xxh3 checksums over header and data. Little-endian.
#pragma once

#include <cstdint>
#include <filesystem>

#include "kernels/inner_product.h"

namespace earmark::search {

struct SegmentInfo {
  std::int64_t rows = 0;
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t hash = 0;   // of rows and scales
};

/// Writes rows (n, d) to `file`, whole and durable, or throws Error.
SegmentInfo write_segment(const std::filesystem::path& file, const kernels::StoredRows& stored);

/// Maps a segment. Throws Error naming the file where it is missing, cut short, of another version or not what
/// `expected` says; `verify` also compares the checksum of the data, which reads all of it.
kernels::StoredRows map_segment(const std::filesystem::path& file, const SegmentInfo& expected, bool verify);

}  // namespace earmark::search
