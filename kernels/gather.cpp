#include "kernels/gather.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_operand(const Tensor& t, DType dtype, Device device, const char* name) {
  check(t && t.dtype() == dtype, "gather: expected ", name, " of ", name_of(dtype), ", got ",
        t ? name_of(t.dtype()) : "none");
  check(t.device() == device, "gather: probe tables on ", device, ", ", name, " on ", t.device());
}

void check_table(const BucketTable& table, std::int64_t rows, Device device) {
  check_operand(table.occupied, DType::i64, device, "occupied");
  check_operand(table.before, DType::i32, device, "before");
  check_operand(table.offsets, DType::i32, device, "offsets");
  check_operand(table.entries, DType::i32, device, "entries");
  check(table.occupied.numel() == table.before.numel() && table.entries.numel() <= rows, "gather: a table of ",
        table.entries.numel(), " entries of ", rows, " rows, ", table.occupied.numel(), " and ", table.before.numel(),
        " words");
}

}  // namespace

std::int64_t most_entries(const BucketTables& tables, std::int64_t probes, std::int64_t max_entries) {
  const std::int64_t all = probes * tables.largest_bucket;
  return max_entries > 0 ? std::min(all, max_entries - 1 + tables.largest_bucket) : all;
}

std::int64_t most_candidates(const BucketTables& tables, std::int64_t probes, std::int64_t max_entries,
                             std::int64_t max_candidates) {
  const std::int64_t found = std::min(tables.rows, most_entries(tables, probes, max_entries));
  return max_candidates > 0 ? std::min(found, max_candidates) : found;
}

void gather_candidates(const GatherCandidates& args) {
  check(args.tables != nullptr && args.probe_tables && args.probe_tables.shape().rank() == 2,
        "gather: expected tables and probe tables (m, probes), got ", args.probe_tables.shape());
  const Device device = args.probe_tables.device();
  const std::int64_t queries = args.probe_tables.dim(0);
  check_operand(args.probe_tables, DType::i32, device, "probe tables");
  check_operand(args.probe_buckets, DType::i32, device, "probe buckets");
  check_operand(args.candidates, DType::i64, device, "candidates");
  check_operand(args.ranges, DType::i64, device, "ranges");
  check(args.probe_buckets.shape() == args.probe_tables.shape(), "gather: probe tables have shape ",
        args.probe_tables.shape(), ", buckets ", args.probe_buckets.shape());
  const std::int64_t most =
      most_candidates(*args.tables, args.probe_tables.dim(1), args.max_entries, args.max_candidates);
  check(args.candidates.shape().rank() == 2 && args.candidates.dim(0) == queries && args.candidates.dim(1) >= most,
        "gather: expected candidates (", queries, ", at least ", most, "), got ", args.candidates.shape());
  check(args.ranges.shape() == Shape({queries, 2}), "gather: expected ranges (", queries, ", 2), got ",
        args.ranges.shape());
  for (const BucketTable& table : args.tables->tables) {
    check_table(table, args.tables->rows, device);
  }
  run_on<cpu::gather_candidates, cuda::gather_candidates>(device, args);
}

}  // namespace earmark::kernels
