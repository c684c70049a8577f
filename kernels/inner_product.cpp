#include "kernels/inner_product.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace earmark::kernels {
namespace {

constexpr std::int64_t kRowsNarrowedAtOnce = 1024;

void check_queries(const Tensor& queries, const StoredRows& stored) {
  check(queries.dtype() == DType::f32 && queries.shape().rank() == 2, "queries: expected f32 (m, dimension), got ",
        name_of(queries.dtype()), queries.shape());
  check(queries.dim(1) == stored.rows.dim(1), "queries have dimension ", queries.dim(1),
        ", the stored fingerprints have ", stored.rows.dim(1));
}

bool has_scale_per_row(const StoredRows& stored) {
  return stored.scales && stored.scales.numel() == stored.rows.dim(0);
}

float largest_magnitude(const float* values, std::int64_t count) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(values[i]));
  }
  return largest;
}

void narrow_to_i8(const float* from, std::int64_t count, float scale, std::int8_t* to) {
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<std::int8_t>(std::lrint(std::clamp(from[i] * inverse, -127.0F, 127.0F)));
  }
}

void narrow_rows_to_i8(const Tensor& rows, const StoredRows& out) {
  const std::int64_t n = rows.dim(0);
  const std::int64_t d = rows.dim(1);
  const bool per_row = out.scales.numel() == n && n != 1;
  float* scales = out.scales.mutable_data<float>();
  if (!per_row) {
    scales[0] = largest_magnitude(rows.data<float>(), n * d) / 127;
  }
  parallel_ranges(n, kRowsNarrowedAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float* from = rows.data<float>() + i * d;
      if (per_row) {
        scales[i] = largest_magnitude(from, d) / 127;
      }
      narrow_to_i8(from, d, scales[per_row ? i : 0], out.rows.mutable_data<std::int8_t>() + i * d);
    }
  });
}

}  // namespace

StoredRows StoredRows::slice(std::int64_t begin, std::int64_t end) const {
  return {rows.slice(begin, end), has_scale_per_row(*this) ? scales.slice(begin, end) : scales};
}

StoredRows StoredRows::to(Device device) const { return {rows.to(device), scales ? scales.to(device) : Tensor()}; }

std::size_t StoredRows::bytes_per_row() const {
  return static_cast<std::size_t>(rows.dim(1)) * size_of(rows.dtype()) + (has_scale_per_row(*this) ? sizeof(float) : 0);
}

void check_stored_rows(const StoredRows& stored) {
  check(stored.rows && stored.rows.shape().rank() == 2, "stored fingerprints: expected (rows, dimension), got ",
        stored.rows.shape());
  const DType dtype = stored.rows.dtype();
  check(dtype == DType::f32 || dtype == DType::f16 || dtype == DType::i8,
        "stored fingerprints: expected f32, f16 or i8, got ", name_of(dtype));
  if (dtype == DType::i8) {
    check(stored.scales && stored.scales.dtype() == DType::f32, "i8 fingerprints: expected f32 scales");
    const std::int64_t count = stored.scales.numel();
    check(count == 1 || count == stored.rows.dim(0), "i8 fingerprints: expected 1 or ", stored.rows.dim(0),
          " scales, got ", count);
  }
}

void topk_begin(const InnerProductTopK& args) {
  args.scores.fill(-std::numeric_limits<double>::infinity());
  args.indices.fill(-1);
}

void inner_product_topk(const InnerProductTopK& args) {
  check_stored_rows(args.stored);
  check_queries(args.queries, args.stored);
  check(args.scores.shape().rank() == 2 && args.scores.dim(0) == args.queries.dim(0) && args.scores.dim(1) > 0,
        "scores: expected (", args.queries.dim(0), ", k), got ", args.scores.shape());
  check(args.indices.shape() == args.scores.shape(), "indices: expected ", args.scores.shape(), ", got ",
        args.indices.shape());
  check(args.indices.dtype() == DType::i64, "indices: expected i64, got ", name_of(args.indices.dtype()));
  check(!args.bytes || (args.bytes.bytes.dim(0) == args.stored.rows.dim(0) && args.queries.device() == Device{}),
        "bytes of ", args.bytes ? args.bytes.bytes.shape() : Shape{}, " for stored fingerprints ",
        args.stored.rows.shape(), " on ", args.queries.device());
  run_on<cpu::inner_product_topk, cuda::inner_product_topk>(args.queries.device(), args);
}

void gathered_inner_product(const GatheredInnerProduct& args) {
  check_stored_rows(args.stored);
  check_queries(args.queries, args.stored);
  const std::int64_t count = args.out.numel();
  check(args.indices.dtype() == DType::i64 && args.indices.numel() == count,
        "gathered inner product: ", args.indices.numel(), " indices for ", count, " results");
  check(args.owners.dtype() == DType::i64 && args.owners.numel() == count,
        "gathered inner product: ", args.owners.numel(), " owners for ", count, " results");
  run_on<cpu::gathered_inner_product, cuda::gathered_inner_product>(args.queries.device(), args);
}

void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out) {
  check_stored_rows(stored);
  const std::int64_t d = stored.rows.dim(1);
  check(0 <= begin && begin <= end && end <= stored.rows.dim(0), "rows ", begin, " to ", end, " of ",
        stored.rows.dim(0));
  check(out.dtype() == DType::f32 && out.numel() == (end - begin) * d, "widened rows: ", out.shape(), " does not hold ",
        end - begin, " rows");
  check(out.device() == stored.rows.device(), "widened rows: on ", out.device(), ", the stored ones on ",
        stored.rows.device());
  run_on<cpu::widen_rows, cuda::widen_rows>(out.device(), stored, begin, end, out);
}

void narrow_rows(const Tensor& rows, const StoredRows& out) {
  check_stored_rows(out);
  check(rows.shape() == out.rows.shape(), "narrowed rows: expected ", rows.shape(), ", got ", out.rows.shape());
  if (out.rows.dtype() == DType::i8) {
    narrow_rows_to_i8(rows, out);
  } else if (out.rows.dtype() == DType::f16) {
    std::transform(rows.data<float>(), rows.data<float>() + rows.numel(), out.rows.mutable_data<Float16>(),
                   [](float x) { return static_cast<Float16>(x); });
  } else {
    out.rows.copy_from(rows);
  }
}

}  // namespace earmark::kernels
