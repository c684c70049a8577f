#include "kernels/gathered_topk.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void gathered_topk(const GatheredTopK& args) {
  check_stored_rows(args.stored);
  const Device device = args.queries.device();
  check(args.queries.dtype() == DType::f32 && args.queries.shape().rank() == 2 &&
            args.queries.dim(1) == args.stored.rows.dim(1),
        "best candidates: expected queries f32 (m, ", args.stored.rows.dim(1), "), got ", name_of(args.queries.dtype()),
        args.queries.shape());
  const std::int64_t m = args.queries.dim(0);
  check(args.candidates.dtype() == DType::i64, "best candidates: expected candidates of i64, got ",
        name_of(args.candidates.dtype()));
  check(args.ranges.dtype() == DType::i64 && args.ranges.shape() == Shape({m, 2}),
        "best candidates: expected ranges i64 (", m, ", 2), got ", name_of(args.ranges.dtype()), args.ranges.shape());
  check(args.scores.dtype() == DType::f32 && args.scores.shape().rank() == 2 && args.scores.dim(0) == m &&
            args.scores.dim(1) > 0,
        "best candidates: expected scores f32 (", m, ", k), got ", name_of(args.scores.dtype()), args.scores.shape());
  check(args.indices.dtype() == DType::i64 && args.indices.shape() == args.scores.shape(),
        "best candidates: expected indices i64 ", args.scores.shape(), ", got ", name_of(args.indices.dtype()),
        args.indices.shape());
  for (const Tensor& t : {args.stored.rows, args.candidates, args.ranges, args.scores, args.indices}) {
    check(t.device() == device, "best candidates: queries on ", device, ", another operand on ", t.device());
  }
  check(!args.bytes || (args.bytes.bytes.dim(0) == args.stored.rows.dim(0) && device == Device{}),
        "best candidates: bytes of ", args.bytes ? args.bytes.bytes.shape() : Shape{}, " for stored fingerprints ",
        args.stored.rows.shape(), " on ", device);
  run_on<cpu::gathered_topk, cuda::gathered_topk>(device, args);
}

}  // namespace earmark::kernels
