#include "search/segment_rows.h"

namespace earmark::search {
namespace {

kernels::StoredRows empty_rows(const IndexFormat& format, std::int64_t rows) {
  switch (format.precision) {
    case Precision::fp16:
      return {Tensor({rows, format.dimension}, DType::f16), {}};
    case Precision::int8:
      return {Tensor({rows, format.dimension}, DType::i8), Tensor({format.scale == ScaleMode::row ? rows : 1})};
    default:
      return {Tensor({rows, format.dimension}), {}};
  }
}

}  // namespace

Tensor fresh_rows(const IndexFormat& format, std::int64_t rows) {
  return Tensor({rows, format.dimension}, format.landmarks ? DType::i32 : DType::f32);
}

kernels::StoredRows as_stored(const IndexFormat& format, const Tensor& rows) {
  if (format.landmarks) {
    return {rows, {}};
  }
  kernels::StoredRows out = empty_rows(format, rows.dim(0));
  kernels::narrow_rows(rows, out);
  return out;
}

}  // namespace earmark::search
