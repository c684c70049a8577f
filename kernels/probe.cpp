#include "kernels/probe.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void probe_sequence(const ProbeSequence& args) {
  check(args.family != nullptr && args.queries.shape().rank() == 2, "probes: expected queries (m, d), got ",
        args.queries.shape());
  check(args.tables.shape().rank() == 2 && args.tables.dim(0) == args.queries.dim(0), "probes: expected tables (",
        args.queries.dim(0), ", probes), got ", args.tables.shape());
  check(args.buckets.shape() == args.tables.shape(), "probes: tables have shape ", args.tables.shape(), ", buckets ",
        args.buckets.shape());
  check(args.tables.dim(1) >= args.family->tables, "probes: expected at least one per table, ", args.family->tables,
        ", got ", args.tables.dim(1));
  check(args.family->functions <= kMostFunctions, "probes: expected at most ", kMostFunctions,
        " functions per table, got ", args.family->functions);
  check(args.tables.device() == args.queries.device() && args.buckets.device() == args.queries.device(),
        "probes: queries on ", args.queries.device(), ", tables on ", args.tables.device(), ", buckets on ",
        args.buckets.device());
  run_on<cpu::probe_sequence, cuda::probe_sequence>(args.queries.device(), args);
}

}  // namespace earmark::kernels
