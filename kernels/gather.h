// Candidates of multi-probe LSH: the rows in a query's probed buckets, each once. A row that is found in many buckets
// is probably near, so where there are too many candidates, the number of buckets chooses; of the last number that
// fits, the lower rows.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// A compact hash table. Bit b of `occupied` says whether bucket b holds rows. The occupied buckets are numbered in
/// order; before[w] of them lie before word w. Occupied bucket i holds entries [offsets[i], offsets[i + 1]). The 32-bit
/// numbers are unsigned.
struct BucketTable {
  Tensor occupied;  ///< (words) i64
  Tensor before;    ///< (words) i32
  Tensor offsets;   ///< (occupied buckets + 1) i32
  Tensor entries;   ///< (rows) i32: rows by bucket, each at most once in a table
};

/// The tables of one index, all on one device.
struct BucketTables {
  std::vector<BucketTable> tables;
  std::int64_t rows = 0;            ///< Of the database: all entries are below.
  std::int64_t largest_bucket = 0;  ///< No bucket has more entries.
};

struct GatherCandidates {
  const BucketTables* tables = nullptr;
  Tensor probe_tables;              ///< (m, probes) i32, from probe_sequence; -1 and what follows is not looked at
  Tensor probe_buckets;             ///< (m, probes) i32
  std::int64_t max_entries = 0;     ///< No bucket is looked into once so many entries were; 0: no limit.
  std::int64_t max_candidates = 0;  ///< 0: all.
  Tensor candidates;                ///< (m, capacity) i64
  /// (m, 2) i64: candidates [ranges[q][0], ranges[q][1]) of the flat list are those of query q, ascending. What lies
  /// between the ranges is left as it is.
  Tensor ranges;
};
/// Throws Error where the capacity is below most_candidates(), or where operands are on several devices.
void gather_candidates(const GatherCandidates& args);

/// How many candidates a query of `probes` can have at most: the capacity that is needed.
std::int64_t most_candidates(const BucketTables& tables, std::int64_t probes, std::int64_t max_entries,
                             std::int64_t max_candidates);
/// How many bucket entries a query of `probes` looks at at most.
std::int64_t most_entries(const BucketTables& tables, std::int64_t probes, std::int64_t max_entries);

namespace cpu {
void gather_candidates(const GatherCandidates& args);
}
namespace cuda {
void gather_candidates(const GatherCandidates& args);
}

}  // namespace earmark::kernels
