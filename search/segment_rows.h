// Rows on their way into a segment file: collected as they were made, stored as the index's format has them.
#pragma once

#include <cstdint>

#include "kernels/inner_product.h"
#include "search/index_store.h"

namespace earmark::search {

inline constexpr std::int64_t kSegmentRows = 131072;  ///< A segment file is closed when it has this many.

/// Rows of one kind, to be filled: f32 fingerprints before they are stored, or landmarks.
Tensor fresh_rows(const IndexFormat& format, std::int64_t rows);

/// As they are written to a segment.
kernels::StoredRows as_stored(const IndexFormat& format, const Tensor& rows);

}  // namespace earmark::search
